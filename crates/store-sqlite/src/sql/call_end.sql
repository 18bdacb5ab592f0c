SELECT last, at FROM call_pages ORDER BY first DESC LIMIT 1
