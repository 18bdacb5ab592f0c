SELECT first, last, at, record
FROM call_pages
WHERE first >= coalesce((SELECT max(first) FROM call_pages WHERE first <= ?1), 0) AND last > ?1
ORDER BY first
LIMIT ?2
