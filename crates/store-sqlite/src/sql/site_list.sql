SELECT site, record, seat FROM sites WHERE site > ?1 ORDER BY site LIMIT ?2
