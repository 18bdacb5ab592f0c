SELECT namespace, name, revision, version, updated_at, deleted_at
FROM workflows WHERE namespace = ?4 AND (namespace, name) > (?1, ?2) AND deleted_at IS NULL
ORDER BY namespace, name LIMIT ?3
