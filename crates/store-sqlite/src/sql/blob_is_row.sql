SELECT 1 FROM blobs WHERE blob = ?1 AND bytes IS NOT NULL
