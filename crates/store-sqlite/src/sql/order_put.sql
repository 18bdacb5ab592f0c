INSERT INTO orders (order_id, site, at, until, body, request) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (order_id) DO NOTHING
