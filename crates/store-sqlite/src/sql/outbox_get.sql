SELECT base, base_digest, mark, mark_digest FROM outboxes WHERE stream = ?1
