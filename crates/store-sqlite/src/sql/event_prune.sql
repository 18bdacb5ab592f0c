DELETE FROM events
WHERE position IN (SELECT position FROM events ORDER BY position LIMIT ?4)
    AND position < ?1
    AND (position <= ?2 OR total - length(event) < ?3)
