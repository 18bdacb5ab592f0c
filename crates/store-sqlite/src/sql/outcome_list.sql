SELECT outcomes.position, runs.run, outcomes.number, outcomes.at, outcomes.outcome
FROM outcomes CROSS JOIN runs ON runs.id = outcomes.run
WHERE outcomes.position > ?1
ORDER BY outcomes.position LIMIT ?2
