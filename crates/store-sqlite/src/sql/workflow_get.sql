SELECT namespace, name, revision, version, updated_at, deleted_at
FROM workflows WHERE namespace = ?1 AND name = ?2
