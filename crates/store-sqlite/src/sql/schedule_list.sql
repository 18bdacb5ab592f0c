SELECT namespace, name, trigger_name, definition, since, next_at, fired_at, run
FROM schedules
WHERE (namespace, name, trigger_name) > (?1, ?2, ?3)
ORDER BY namespace, name, trigger_name
LIMIT ?4
