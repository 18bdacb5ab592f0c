SELECT position, ?1, stream, key, at, entry FROM entries
WHERE site = (SELECT id FROM sites WHERE site = ?1) AND stream = ?2 AND key = ?3
