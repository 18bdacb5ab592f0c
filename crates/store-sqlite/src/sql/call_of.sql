SELECT first, at FROM call_pages WHERE first <= ?1 ORDER BY first DESC LIMIT 1
