SELECT position, order_id, site, at, until, body, closed_at, request FROM orders
WHERE site = ?1 AND closed_at IS NULL AND position > ?2
ORDER BY position LIMIT ?3
