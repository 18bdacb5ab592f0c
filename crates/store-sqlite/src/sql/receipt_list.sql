SELECT position, order_id, at, receipt FROM receipts WHERE position > ?1 ORDER BY position LIMIT ?2
