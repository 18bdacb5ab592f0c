UPDATE tokens SET used_by = ?2
WHERE secret = ?1 AND until > ?3 AND (used_by IS NULL OR used_by = ?2)
