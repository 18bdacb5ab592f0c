SELECT DISTINCT run FROM logs
WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = logs.run)
    AND NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = logs.run)
LIMIT ?1
