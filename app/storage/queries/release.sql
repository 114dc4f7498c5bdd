-- Give back what was claimed but not started; it is due at once.
UPDATE gists SET claim = NULL, due = clock_timestamp()
WHERE gist = ANY(%(gist)s) AND claim = ANY(%(claim)s)
