SELECT namespace, name FROM runs INDEXED BY runs_by_place
WHERE state = ?1 AND (namespace, name) > (?2, ?3)
ORDER BY namespace, name LIMIT 1
