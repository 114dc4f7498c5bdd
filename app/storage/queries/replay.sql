-- Deliver a gist again, now, with all its retries; a dispatcher that holds it loses its claim.
UPDATE gists SET status = 'pending', retries = 0, due = clock_timestamp(), claim = NULL
WHERE gist = %(gist)s RETURNING gist
