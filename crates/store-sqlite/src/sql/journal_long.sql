SELECT runs.run, long.sequence, long.start, ifnull((SELECT max(last) FROM journal_stretches WHERE run = long.run), 0)
FROM (
    SELECT run, sequence, ifnull((SELECT max(sequence) FROM journal_starts WHERE run = snapshots.run), 0) AS start
    FROM snapshots INDEXED BY snapshots_by_sequence
    WHERE sequence >= ?1
) AS long CROSS JOIN runs ON runs.id = long.run
WHERE long.sequence - long.start >= ?1
LIMIT ?2
