SELECT namespace, name FROM runs INDEXED BY runs_by_end
WHERE ended_at IS NOT NULL AND (namespace, name) > (?1, ?2)
ORDER BY namespace, name LIMIT 1
