SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs INDEXED BY runs_by_end
WHERE namespace = ?1 AND name = ?2 AND ended_at IS NOT NULL AND ended_at <= ?3
    AND (ended_at, run) > (?4, ?5)
ORDER BY ended_at, run LIMIT ?6
