SELECT last FROM journal_extents WHERE run = ?1 ORDER BY last DESC LIMIT 1
