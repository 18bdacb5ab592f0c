SELECT first, last, at, record FROM call_pages WHERE first < ?1 ORDER BY first DESC LIMIT ?2
