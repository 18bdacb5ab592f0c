-- What somebody wants to be so. What each column means stands in docs/spec/store.md.
CREATE TABLE resources (
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
