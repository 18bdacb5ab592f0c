SELECT id FROM sites WHERE site = ?1
