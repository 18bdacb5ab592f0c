INSERT INTO entries_taken (site, stream, entries) VALUES (?1, ?2, 1)
ON CONFLICT (site, stream) DO UPDATE SET entries = entries + 1
