-- The line between a site and its hub. What each column means stands in docs/spec/store.md.
CREATE TABLE outboxes (
    stream INTEGER PRIMARY KEY,
    base INTEGER NOT NULL,
    base_digest BLOB NOT NULL,
    mark INTEGER NOT NULL,
    mark_digest BLOB NOT NULL
) STRICT;

-- AUTOINCREMENT: a position that was taken and deleted must never come back.
CREATE TABLE receipts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    receipt BLOB NOT NULL
) STRICT;

CREATE TABLE orders (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id BLOB NOT NULL UNIQUE,
    site TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    body BLOB NOT NULL,
    closed_at INTEGER
) STRICT;

CREATE INDEX orders_open ON orders (site, position) WHERE closed_at IS NULL;
CREATE INDEX orders_past ON orders (until, position) WHERE closed_at IS NOT NULL;

-- The sites of a hub, and what they have sent.
CREATE TABLE sites (
    id INTEGER PRIMARY KEY,
    site TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL,
    seat BLOB
) STRICT;

CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    site INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    entry BLOB NOT NULL,
    UNIQUE (site, stream, key)
) STRICT;

CREATE TABLE entries_beside (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    site INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    key BLOB NOT NULL,
    at INTEGER NOT NULL,
    entry BLOB NOT NULL
) STRICT;

CREATE TABLE tokens (
    secret BLOB PRIMARY KEY,
    site TEXT NOT NULL,
    until INTEGER NOT NULL,
    record BLOB NOT NULL,
    used_by BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_until ON tokens (until);

CREATE INDEX entries_beside_by_site ON entries_beside (site, position);
