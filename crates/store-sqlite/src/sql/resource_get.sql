SELECT record FROM resources WHERE kind = ?1 AND name = ?2
