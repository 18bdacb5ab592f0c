SELECT position, activation, effect, life, stream, start, at, bytes
FROM logs
WHERE run = (SELECT id FROM runs WHERE run = ?1) AND position > ?2
ORDER BY position
LIMIT ?3
