INSERT INTO events (namespace, source, id, type, subject, run, number, at, total, event)
VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
    coalesce((SELECT total FROM events ORDER BY position DESC LIMIT 1), 0) + length(?9),
    ?9
)
ON CONFLICT (namespace, source, id) DO NOTHING
