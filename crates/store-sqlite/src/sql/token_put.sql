INSERT INTO tokens (secret, site, until, record) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (secret) DO UPDATE SET site = excluded.site, until = excluded.until,
    record = excluded.record, used_by = NULL
