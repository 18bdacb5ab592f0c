SELECT size, bytes FROM blobs WHERE blob = ?1
