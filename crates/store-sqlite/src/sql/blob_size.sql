SELECT size FROM blobs WHERE blob = ?1
