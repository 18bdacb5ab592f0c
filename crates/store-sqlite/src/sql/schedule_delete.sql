DELETE FROM schedules WHERE namespace = ?1 AND name = ?2 AND trigger_name = ?3
