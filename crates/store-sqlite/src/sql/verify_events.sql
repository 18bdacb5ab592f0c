SELECT position, total, length(event), run, number FROM events WHERE position > ?1 ORDER BY position LIMIT ?2
