INSERT INTO changes (at, actor, change) VALUES (?1, ?2, ?3)
