SELECT position, total FROM events ORDER BY position DESC LIMIT 1
