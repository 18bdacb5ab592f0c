SELECT position, order_id, site, at, until, body, closed_at FROM orders WHERE order_id = ?1
