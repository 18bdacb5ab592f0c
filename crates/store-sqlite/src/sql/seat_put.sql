UPDATE sites SET seat = ?2 WHERE site = ?1
