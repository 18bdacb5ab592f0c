SELECT position, order_id, site, at, until, body, closed_at, request FROM orders
WHERE request = ?3 AND position < ?1
ORDER BY position DESC LIMIT ?2
