SELECT first, last, stretch FROM journal_stretches
WHERE run = (SELECT id FROM runs WHERE run = ?1) AND last > ?2
ORDER BY last LIMIT ?3
