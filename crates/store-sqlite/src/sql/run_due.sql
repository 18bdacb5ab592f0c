SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs INDEXED BY runs_by_wake
WHERE wake_at IS NOT NULL AND state <= 2 AND wake_at <= ?1 AND (wake_at, run) > (?3, ?4)
ORDER BY wake_at, run LIMIT ?2
