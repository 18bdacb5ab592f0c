INSERT INTO receipts (order_id, at, receipt) VALUES (?1, ?2, ?3)
ON CONFLICT (order_id) DO NOTHING
