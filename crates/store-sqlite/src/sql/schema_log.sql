-- What child processes have written. What each column means stands in docs/spec/store.md.

-- AUTOINCREMENT: a position that was trimmed must never come back.
CREATE TABLE logs (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    activation TEXT NOT NULL,
    effect INTEGER NOT NULL,
    life INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    start INTEGER NOT NULL,
    at INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

CREATE INDEX logs_by_run ON logs (run, position);
