UPDATE orders SET closed_at = ?2 WHERE order_id = ?1 AND closed_at IS NULL
