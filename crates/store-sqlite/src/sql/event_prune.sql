DELETE FROM events
WHERE position IN (SELECT position FROM events ORDER BY position LIMIT 64)
    AND position < ?1
    AND (
        position <= ?1 - ?2
        OR total <= (SELECT total FROM events ORDER BY position DESC LIMIT 1) - ?3
    )
