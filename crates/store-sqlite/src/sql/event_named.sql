SELECT position, namespace, source, id, type, subject, run, number, at, event
FROM events INDEXED BY events_by_id
WHERE namespace = ?1 AND source = ?2 AND id = ?3 AND (run IS NULL OR number > 0)
