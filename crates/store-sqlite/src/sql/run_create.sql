INSERT INTO runs (id, run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary)
VALUES (?11, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
ON CONFLICT (run) DO NOTHING
