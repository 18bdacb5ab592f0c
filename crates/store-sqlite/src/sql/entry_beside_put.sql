INSERT INTO entries_beside (site, stream, key, at, entry) SELECT ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (
        SELECT 1 FROM entries_beside WHERE site = ?1 AND stream = ?2 AND key = ?3 AND entry = ?5
    )
    AND (SELECT count(*) FROM entries_beside WHERE site = ?1) < ?6
