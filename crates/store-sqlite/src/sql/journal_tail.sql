SELECT position, run, sequence FROM journal WHERE position > ?1 ORDER BY position
