SELECT DISTINCT run FROM outcomes WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = outcomes.run) LIMIT ?1
