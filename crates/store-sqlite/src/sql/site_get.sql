SELECT site, record, seat FROM sites WHERE site = ?1
