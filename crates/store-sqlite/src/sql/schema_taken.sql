CREATE TABLE entries_taken (
    site INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (site, stream)
) STRICT, WITHOUT ROWID;

INSERT INTO entries_taken (site, stream, entries)
SELECT site, stream, count(*) FROM entries GROUP BY site, stream;
