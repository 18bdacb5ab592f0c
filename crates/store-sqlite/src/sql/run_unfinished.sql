-- A page of each state that has not ended, then the first page of their union.
SELECT run, namespace, name, revision, state, created_at, updated_at, ended_at, wake_at, summary
FROM runs
WHERE id IN (
    SELECT id FROM (SELECT id FROM runs WHERE state = 0 AND run > ?1 ORDER BY run LIMIT ?2)
    UNION ALL
    SELECT id FROM (SELECT id FROM runs WHERE state = 1 AND run > ?1 ORDER BY run LIMIT ?2)
    UNION ALL
    SELECT id FROM (SELECT id FROM runs WHERE state = 2 AND run > ?1 ORDER BY run LIMIT ?2)
    UNION ALL
    SELECT id FROM (SELECT id FROM runs WHERE state = 3 AND run > ?1 ORDER BY run LIMIT ?2)
)
ORDER BY run LIMIT ?2
