DELETE FROM logs
WHERE run = ?1
    AND position <= (SELECT position FROM logs WHERE run = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)
