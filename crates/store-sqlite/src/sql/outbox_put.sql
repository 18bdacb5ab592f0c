INSERT INTO outboxes (stream, base, base_digest, mark, mark_digest) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (stream) DO UPDATE SET base = excluded.base, base_digest = excluded.base_digest,
    mark = excluded.mark, mark_digest = excluded.mark_digest
