INSERT INTO entries (site, stream, key, at, entry) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (site, stream, key) DO NOTHING
