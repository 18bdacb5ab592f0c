SELECT 1 FROM entries WHERE site = ?1 AND stream = ?2 AND key = ?3 AND entry = ?4
