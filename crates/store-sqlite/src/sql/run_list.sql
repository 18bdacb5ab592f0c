SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs
WHERE run < ?1 AND run >= ?2
ORDER BY run DESC LIMIT ?3
