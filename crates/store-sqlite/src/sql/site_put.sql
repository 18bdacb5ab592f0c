INSERT INTO sites (site, record) VALUES (?1, ?2)
ON CONFLICT (site) DO UPDATE SET record = excluded.record
