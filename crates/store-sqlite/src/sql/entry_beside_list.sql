SELECT position, ?1, stream, key, at, entry FROM entries_beside
WHERE site = (SELECT id FROM sites WHERE site = ?1) AND position > ?2
ORDER BY position LIMIT ?3
