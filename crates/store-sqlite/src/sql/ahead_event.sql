SELECT old.event, alike.position, emitted.position
FROM (SELECT * FROM events ORDER BY position LIMIT ?1) AS old
JOIN events AS alike INDEXED BY events_by_type ON alike.namespace = old.namespace
    AND alike.type = old.type AND alike.position = old.position
LEFT JOIN events AS emitted INDEXED BY events_by_run ON old.number > 0 AND emitted.number > 0
    AND emitted.run = old.run AND emitted.number = old.number
