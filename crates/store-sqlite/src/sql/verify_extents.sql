SELECT DISTINCT run FROM journal_extents
WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = journal_extents.run)
    AND NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = journal_extents.run)
LIMIT ?1
