SELECT run, sequence, record FROM journal WHERE position = ?1
