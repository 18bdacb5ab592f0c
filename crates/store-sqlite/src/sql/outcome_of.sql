SELECT position, number, at, outcome
FROM outcomes
WHERE run = (SELECT id FROM runs WHERE run = ?1) AND number > ?2
ORDER BY number LIMIT ?3
