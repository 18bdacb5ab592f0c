-- Version 2: events.

-- AUTOINCREMENT: a position is a cursor of listeners, and must never come back.
CREATE TABLE events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT,
    run BLOB,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- Bytes of all events up to this one, so that nobody has to add up what is kept.
    total INTEGER NOT NULL,
    event BLOB NOT NULL,
    UNIQUE (namespace, source, id)
) STRICT;

CREATE INDEX events_by_type ON events (namespace, type, position);
