SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs INDEXED BY runs_by_namespace
WHERE namespace = ?5 AND run < ?1
    AND (?2 IS NULL OR name = ?2)
    AND (?3 IS NULL OR created_at >= ?3)
ORDER BY run DESC LIMIT ?4
