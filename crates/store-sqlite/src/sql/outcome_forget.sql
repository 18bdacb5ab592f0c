DELETE FROM outcomes
WHERE position > ?1 AND position <= ?2
    AND EXISTS (SELECT 1 FROM forgotten WHERE forgotten.run = outcomes.run)
RETURNING run
