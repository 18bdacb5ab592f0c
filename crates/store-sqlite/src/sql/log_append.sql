INSERT INTO logs (run, activation, effect, life, stream, start, at, bytes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
