-- The update of every step: no indexed column changes, so no index is written. Where one does,
-- nothing matches, and run_update.sql follows.
UPDATE runs SET updated_at = ?1, summary = ?2
WHERE id = ?3 AND state = ?4 AND wake_at IS ?5 AND ended_at IS ?6 AND created_at = ?7
    AND revision = ?8 AND namespace = ?9 AND name = ?10
