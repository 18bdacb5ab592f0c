SELECT position, total - length(event) FROM events ORDER BY position LIMIT 1
