SELECT min(wake_at) FROM runs INDEXED BY runs_by_wake
WHERE wake_at IS NOT NULL AND state <= 2 AND (wake_at, run) > (?1, ?2)
