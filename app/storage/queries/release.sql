-- Give back what was claimed but not started; it is due as it was.
UPDATE gists SET claim = NULL, leased = NULL
WHERE gist = ANY(%(gist)s) AND claim = ANY(%(claim)s)
