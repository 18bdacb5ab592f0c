-- Pages of calls to models. What each column means stands in docs/spec/store.md.
CREATE TABLE call_pages (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
