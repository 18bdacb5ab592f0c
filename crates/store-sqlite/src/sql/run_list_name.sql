SELECT name FROM runs INDEXED BY runs_by_place
WHERE state = ?1 AND namespace = ?2 AND name > ?3
ORDER BY name LIMIT 1
