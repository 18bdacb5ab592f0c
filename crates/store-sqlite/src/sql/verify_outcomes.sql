SELECT DISTINCT run FROM outcomes
WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = outcomes.run)
    AND NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = outcomes.run)
LIMIT ?1
