INSERT OR REPLACE INTO schedules
    (namespace, name, trigger_name, definition, since, next_at, fired_at, run)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
