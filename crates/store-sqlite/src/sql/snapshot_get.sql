SELECT sequence, snapshot FROM snapshots WHERE run = (SELECT id FROM runs WHERE run = ?1)
