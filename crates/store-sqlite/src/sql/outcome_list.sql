SELECT outcomes.position, ifnull(runs.run, forgotten.id), outcomes.number, outcomes.at, outcomes.outcome
FROM outcomes
    LEFT JOIN runs ON runs.id = outcomes.run
    LEFT JOIN forgotten ON forgotten.run = outcomes.run
WHERE outcomes.position > ?1
ORDER BY outcomes.position LIMIT ?2
