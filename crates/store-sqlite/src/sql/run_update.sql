UPDATE runs SET updated_at = ?1, summary = ?2,
    state = ?4, wake_at = ?5, ended_at = ?6, created_at = ?7,
    revision = ?8, namespace = ?9, name = ?10
WHERE id = ?3
