SELECT site, until, record, used_by FROM tokens WHERE secret = ?1
