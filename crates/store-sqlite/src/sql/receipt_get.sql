SELECT position, order_id, at, receipt FROM receipts WHERE order_id = ?1
