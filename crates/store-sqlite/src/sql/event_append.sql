INSERT INTO events (position, namespace, source, id, type, subject, run, number, at, total, event)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (namespace, source, id) WHERE run IS NULL OR number > 0 DO NOTHING
