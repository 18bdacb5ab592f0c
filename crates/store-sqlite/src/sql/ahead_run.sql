SELECT own.summary, place.id
FROM runs AS own
JOIN runs AS place INDEXED BY runs_by_place ON place.state = own.state
    AND place.namespace = own.namespace AND place.name = own.name AND place.run = own.run
WHERE own.id = ?1 LIMIT ?2
