SELECT namespace, name, trigger_name, definition, since, next_at, fired_at, run
FROM schedules
WHERE next_at <= ?1
ORDER BY next_at, namespace, name, trigger_name
LIMIT ?2
