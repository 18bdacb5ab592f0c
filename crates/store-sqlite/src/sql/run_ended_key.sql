-- Column by column: compared as a pair, all rows of the last key would be looked at again.
SELECT namespace, name FROM (
    SELECT namespace, name FROM runs INDEXED BY runs_by_end
    WHERE ended_at IS NOT NULL AND namespace = ?1 AND name > ?2
    ORDER BY name LIMIT 1
)
UNION ALL
SELECT namespace, name FROM (
    SELECT namespace, name FROM runs INDEXED BY runs_by_end
    WHERE ended_at IS NOT NULL AND namespace > ?1
    ORDER BY namespace, name LIMIT 1
)
LIMIT 1
