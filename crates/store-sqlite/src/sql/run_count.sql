SELECT state, count(*) FROM runs INDEXED BY runs_by_place GROUP BY state
