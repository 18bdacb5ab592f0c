SELECT namespace FROM runs INDEXED BY runs_by_place
WHERE state = ?1 AND namespace > ?2
ORDER BY namespace LIMIT 1
