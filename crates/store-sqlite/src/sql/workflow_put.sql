INSERT INTO workflows (namespace, name, revision, version, updated_at, deleted_at)
VALUES (?1, ?2, ?3, ?4, ?5, NULL)
ON CONFLICT (namespace, name) DO UPDATE SET
    revision = excluded.revision, version = excluded.version,
    updated_at = excluded.updated_at, deleted_at = NULL
