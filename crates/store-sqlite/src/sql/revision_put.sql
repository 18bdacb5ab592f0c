INSERT INTO revisions (namespace, name, revision, version, created_at, text, resolved)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (namespace, name, revision) DO NOTHING
