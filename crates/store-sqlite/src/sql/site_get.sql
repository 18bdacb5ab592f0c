SELECT
    site, record, seat,
    (SELECT entries FROM entries_taken WHERE site = sites.id AND stream = 0),
    (SELECT entries FROM entries_taken WHERE site = sites.id AND stream = 1)
FROM sites
WHERE site = ?1
