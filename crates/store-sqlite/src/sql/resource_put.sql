INSERT INTO resources (kind, name, record) VALUES (?1, ?2, ?3)
ON CONFLICT (kind, name) DO UPDATE SET record = excluded.record
