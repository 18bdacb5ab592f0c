SELECT namespace, name, revision, version, created_at, text, resolved
FROM revisions INDEXED BY revisions_by_name
WHERE namespace = ?1 AND name = ?2
ORDER BY id DESC LIMIT ?3
