SELECT namespace, name, revision, version, created_at, text, resolved
FROM revisions WHERE namespace = ?1 AND name = ?2 AND revision = ?3
