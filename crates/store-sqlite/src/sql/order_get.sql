SELECT position, order_id, site, at, until, body, closed_at, request FROM orders WHERE order_id = ?1
