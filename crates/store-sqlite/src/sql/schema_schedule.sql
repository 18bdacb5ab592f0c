-- Schedules: one row for each trigger of a workflow. What each column means stands in
-- docs/spec/store.md.

CREATE TABLE schedules (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    trigger_name TEXT NOT NULL,
    definition BLOB NOT NULL,
    since INTEGER NOT NULL,
    next_at INTEGER,
    fired_at INTEGER,
    run BLOB,
    PRIMARY KEY (namespace, name, trigger_name)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_by_next ON schedules (next_at, namespace, name, trigger_name)
    WHERE next_at IS NOT NULL;
