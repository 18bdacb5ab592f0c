-- What is forgotten on purpose. What each column means stands in docs/spec/store.md.
CREATE TABLE journal_starts (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    UNIQUE (run, sequence)
) STRICT;

CREATE TABLE journal_stretches (
    run INTEGER NOT NULL,
    last INTEGER NOT NULL,
    first INTEGER NOT NULL,
    stretch BLOB NOT NULL,
    PRIMARY KEY (run, last)
) STRICT, WITHOUT ROWID;

-- Finds the long runs among those that have a snapshot.
CREATE INDEX snapshots_by_sequence ON snapshots (sequence);

CREATE TABLE blob_refers (
    run INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    blob BLOB NOT NULL,
    PRIMARY KEY (run, sequence, blob)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_refers_by_blob ON blob_refers (blob);

-- Nobody knows any more who refers to those that are there already: they stay. No run has the number 0.
INSERT INTO blob_refers (run, sequence, blob) SELECT 0, 0, blob FROM blobs;

-- Runs that are gone, until all that was theirs is cleared away and their outcomes are taken.
CREATE TABLE forgotten (
    run INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    cleared INTEGER NOT NULL
) STRICT;

CREATE INDEX forgotten_to_clear ON forgotten (run) WHERE cleared = 0;

-- Ended runs of a workflow, the earliest first.
CREATE INDEX runs_by_end ON runs (namespace, name, ended_at, run) WHERE ended_at IS NOT NULL;
