SELECT position, order_id, site, at, until, body, closed_at, request FROM orders
WHERE request IS NULL AND until <= ?1 AND (until, position) > (?2, ?3)
ORDER BY until, position LIMIT ?4
