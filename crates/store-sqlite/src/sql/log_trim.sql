DELETE FROM logs
WHERE run = ?1 AND effect = ?2 AND life = ?3 AND start >= ?4 AND start < ?5
