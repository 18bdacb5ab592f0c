INSERT INTO journal_extents (run, last, first, positions) VALUES (?1, ?2, ?3, ?4)
