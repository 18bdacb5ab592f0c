-- Version 1. What each table and column means stands in docs/spec/store.md.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run BLOB NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BLOB NOT NULL,
    state INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    wake_at INTEGER,
    summary BLOB NOT NULL
) STRICT;

CREATE INDEX runs_by_namespace ON runs (namespace, run);
CREATE INDEX runs_by_state ON runs (state, run);
-- Ended (4 to 6) and suspended (3) runs are never woken.
CREATE INDEX runs_by_wake ON runs (wake_at, run) WHERE wake_at IS NOT NULL AND state <= 2;

CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;

CREATE TABLE journal_extents (
    run INTEGER NOT NULL,
    last INTEGER NOT NULL,
    first INTEGER NOT NULL,
    positions BLOB NOT NULL,
    PRIMARY KEY (run, last)
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    run INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    snapshot BLOB NOT NULL
) STRICT;

CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    blob BLOB NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    bytes BLOB
) STRICT;

CREATE TABLE workflows (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BLOB NOT NULL,
    version TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision BLOB NOT NULL,
    version TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    text BLOB NOT NULL,
    UNIQUE (namespace, name, revision)
) STRICT;

CREATE INDEX revisions_by_name ON revisions (namespace, name);

-- AUTOINCREMENT: a position that was taken and deleted must never come back.
CREATE TABLE outcomes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    outcome BLOB NOT NULL,
    UNIQUE (run, number)
) STRICT;

CREATE TABLE changes (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    change BLOB NOT NULL
) STRICT;
