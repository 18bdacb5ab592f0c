INSERT INTO journal_starts (run, sequence, snapshot)
SELECT run, sequence, snapshot FROM snapshots WHERE run = ?1
ON CONFLICT (run, sequence) DO NOTHING
