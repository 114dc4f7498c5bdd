-- Seconds until the next gist is due, or its lease ends.
SELECT extract(epoch FROM due - clock_timestamp())::float AS seconds
FROM gists WHERE status IN ('pending', 'retrying') ORDER BY due LIMIT 1
