"""Where things are kept: PostgreSQL, or memory with the same behaviour."""
