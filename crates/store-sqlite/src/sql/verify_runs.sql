SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary, id
FROM runs WHERE id > ?1 ORDER BY id LIMIT ?2
