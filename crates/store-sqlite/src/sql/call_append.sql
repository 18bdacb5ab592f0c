INSERT INTO call_pages (first, last, at, record) VALUES (?1, ?2, ?3, ?4)
