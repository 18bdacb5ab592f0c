DELETE FROM call_pages
WHERE first IN (SELECT first FROM call_pages ORDER BY first LIMIT ?2)
    AND last < ?1
    AND first < (SELECT max(first) FROM call_pages)
