DELETE FROM tokens WHERE until <= ?1
