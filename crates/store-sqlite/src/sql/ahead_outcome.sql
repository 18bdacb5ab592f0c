SELECT outcome FROM outcomes WHERE run = ?1 LIMIT ?2
