DELETE FROM events
WHERE position IN (SELECT position FROM events ORDER BY position LIMIT 64)
    AND position < ?1
    AND (position <= ?1 - ?2 OR total <= ?3)
