INSERT INTO journal (position, run, sequence, record) VALUES (?1, ?2, ?3, ?4)
