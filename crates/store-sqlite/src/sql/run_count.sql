SELECT state, count(*) FROM runs INDEXED BY runs_by_state GROUP BY state
