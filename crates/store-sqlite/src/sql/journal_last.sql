-- Rows may be gone that an index was written for: their positions do not come back.
SELECT max(
    ifnull((SELECT position FROM journal ORDER BY position DESC LIMIT 1), 0),
    (SELECT value FROM meta WHERE key = 'folded')
)
