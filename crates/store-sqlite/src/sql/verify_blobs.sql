SELECT id, blob, size, bytes FROM blobs WHERE id > ?1 ORDER BY id LIMIT ?2
