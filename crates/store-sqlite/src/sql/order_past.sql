SELECT order_id FROM orders
WHERE closed_at IS NOT NULL AND until <= ?1
    AND NOT EXISTS (SELECT 1 FROM receipts WHERE receipts.order_id = orders.order_id)
ORDER BY until, position LIMIT ?2
