SELECT DISTINCT run FROM snapshots
WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = snapshots.run)
    AND NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = snapshots.run)
LIMIT ?1
