SELECT position, namespace, source, id, type, subject, run, number, at, event
FROM events INDEXED BY events_by_type
WHERE namespace = ?1 AND type = ?10 AND position > ?2 AND position < ?3
    AND (?4 IS NULL OR substr(type, 1, length(?4)) = ?4)
    AND (?5 IS NULL OR source = ?5)
    AND (?6 IS NULL OR subject = ?6)
    AND (?7 IS NULL OR run = ?7)
    AND (?8 IS NULL OR at >= ?8)
ORDER BY position LIMIT ?9
