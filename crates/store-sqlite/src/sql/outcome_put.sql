INSERT INTO outcomes (run, number, at, outcome) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (run, number) DO NOTHING
