SELECT sequence, snapshot FROM journal_starts
WHERE run = (SELECT id FROM runs WHERE run = ?1) AND sequence >= ?2
ORDER BY sequence LIMIT 1
