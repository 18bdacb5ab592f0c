SELECT blobs.bytes, other.run
FROM blob_refers AS own
JOIN blobs ON blobs.blob = own.blob
JOIN blob_refers AS other INDEXED BY blob_refers_by_blob ON other.blob = own.blob
    AND other.run = own.run AND other.sequence = own.sequence
WHERE own.run = ?1 LIMIT ?2
