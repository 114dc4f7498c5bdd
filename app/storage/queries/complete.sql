-- Record what deliveries came to; one whose claim was lost meanwhile changes nothing. What would pause is due at once
-- if its subscription is on again, for nothing else would resume it: the lock keeps that from changing meanwhile.
WITH outcome AS (
    SELECT * FROM unnest(
        %(gist)s::uuid[], %(claim)s::uuid[], %(status)s::text[], %(attempt)s::integer[], %(retries)s::integer[],
        %(delay)s::interval[], %(http)s::integer[], %(milliseconds)s::integer[], %(response)s::text[],
        %(error)s::text[], %(timestamped)s::timestamptz[], %(tried)s::boolean[]
    ) AS o (gist, claim, status, attempt, retries, delay, http, milliseconds, response, error, timestamped, tried)
), pausing AS (
    SELECT gist, subscriptions.active AND applications.active AS active
    FROM outcome JOIN gists USING (gist) JOIN subscriptions USING (subscription)
    JOIN applications ON applications.application = subscriptions.application
    WHERE outcome.status = 'paused'
    FOR SHARE OF subscriptions
), completed AS (
    UPDATE gists SET status = CASE WHEN NOT coalesce(pausing.active, false) THEN o.status
                                   WHEN o.attempt = 0 THEN 'pending' ELSE 'retrying' END,
                     attempts = o.attempt, retries = o.retries, claim = NULL, due = clock_timestamp() + o.delay
    FROM outcome o LEFT JOIN pausing USING (gist)
    WHERE gists.gist = o.gist AND gists.claim = o.claim
    RETURNING gists.gist
), recorded AS (
    INSERT INTO attempts (gist, attempt, status, milliseconds, response, error, timestamped)
    SELECT gist, attempt, http, milliseconds, response, error, timestamped
    FROM outcome JOIN completed USING (gist) WHERE tried
)
SELECT count(*) AS completed FROM completed
