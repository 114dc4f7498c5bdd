-- Take due gists under a lease, passing over those that another dispatcher is taking at this moment.
WITH due AS (
    SELECT gist FROM gists
    WHERE status IN ('pending', 'retrying') AND due <= clock_timestamp()
    ORDER BY due LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE gists SET claim = %(claim)s, due = clock_timestamp() + %(lease)s
    FROM due WHERE gists.gist = due.gist
    RETURNING gists.gist, claim, event, subscription, attempts, retries
)
SELECT gist, claim, event, events.action, payload, metadata, events.timestamped, address, handler, secret,
       attempts + 1 AS attempt, retries, max_retries, subscriptions.active AND applications.active AS active
FROM claimed JOIN events USING (event) JOIN subscriptions USING (subscription)
JOIN applications ON applications.application = subscriptions.application
