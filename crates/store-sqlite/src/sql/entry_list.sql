SELECT position, sites.site, stream, key, at, entry
FROM entries JOIN sites ON sites.id = entries.site
WHERE position > ?1
ORDER BY position LIMIT ?2
