SELECT namespace, name, trigger_name, definition, since, next_at, fired_at, run
FROM schedules
WHERE namespace = ?1 AND name = ?2
ORDER BY trigger_name
