INSERT INTO blobs (blob, size, bytes) VALUES (?1, ?2, ?3)
