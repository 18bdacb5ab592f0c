SELECT record FROM call_pages ORDER BY first LIMIT ?1
