-- What a revision refers to, kept with it.
ALTER TABLE revisions ADD COLUMN resolved BLOB NOT NULL DEFAULT x'';
