-- Events of the site's own runs are told once by construction, so that only others are looked up by
-- their names; and the writer counts positions and bytes itself. The newest event is never deleted,
-- so that no position comes back.

CREATE TABLE events_2 (
    position INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT,
    run BLOB,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    total INTEGER NOT NULL,
    event BLOB NOT NULL
) STRICT;

INSERT INTO events_2 SELECT * FROM events;
DROP TABLE events;
ALTER TABLE events_2 RENAME TO events;

-- A run's own life has the number 0.
CREATE UNIQUE INDEX events_by_id ON events (namespace, source, id)
    WHERE run IS NULL OR number > 0;
CREATE INDEX events_by_type ON events (namespace, type, position);
