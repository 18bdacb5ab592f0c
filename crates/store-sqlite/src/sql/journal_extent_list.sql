SELECT first, last, positions FROM journal_extents WHERE run = ?1 AND last > ?2 ORDER BY last
