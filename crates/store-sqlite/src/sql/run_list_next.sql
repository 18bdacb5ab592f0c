SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs INDEXED BY runs_by_place
WHERE state = ?1 AND namespace = ?2 AND name = ?3 AND run < ?4 AND run >= ?5
ORDER BY run DESC LIMIT ?6
