SELECT position, run, sequence FROM journal
WHERE position > ?1 AND position <= (SELECT value FROM meta WHERE key = 'folded')
ORDER BY position LIMIT ?2
