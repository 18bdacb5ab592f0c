UPDATE workflows SET deleted_at = ?3 WHERE namespace = ?1 AND name = ?2 AND deleted_at IS NULL
