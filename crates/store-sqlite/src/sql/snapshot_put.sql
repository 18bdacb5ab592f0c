INSERT INTO snapshots (run, sequence, snapshot) VALUES (?1, ?2, ?3)
ON CONFLICT (run) DO UPDATE SET sequence = excluded.sequence, snapshot = excluded.snapshot
WHERE excluded.sequence >= sequence
