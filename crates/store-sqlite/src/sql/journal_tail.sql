-- Rows of forgotten runs are found by extents of their own.
SELECT position, run, sequence FROM journal
WHERE position > ?1 AND run NOT IN (SELECT run FROM forgotten)
ORDER BY position
