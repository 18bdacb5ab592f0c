SELECT ifnull(max(last), 0) FROM journal_stretches WHERE run = (SELECT id FROM runs WHERE run = ?1)
