-- The attempts to deliver a gist, oldest first.
SELECT attempt, status, milliseconds AS ms, response, error, timestamped
FROM attempts WHERE gist = %(gist)s ORDER BY attempt
