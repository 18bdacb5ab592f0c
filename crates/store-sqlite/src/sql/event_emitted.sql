SELECT position, namespace, source, id, type, subject, run, number, at, event
FROM events INDEXED BY events_by_run
WHERE run = ?1 AND number > ?2 AND number > 0
ORDER BY number LIMIT ?3
