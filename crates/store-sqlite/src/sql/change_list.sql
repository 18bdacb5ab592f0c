SELECT position, at, actor, change FROM changes WHERE position > ?1 ORDER BY position LIMIT ?2
