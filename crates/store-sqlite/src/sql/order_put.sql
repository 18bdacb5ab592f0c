INSERT INTO orders (order_id, site, at, until, body) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (order_id) DO NOTHING
