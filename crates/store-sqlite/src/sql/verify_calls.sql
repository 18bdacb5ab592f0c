SELECT first, last, at FROM call_pages WHERE first >= ?1 ORDER BY first LIMIT ?2
