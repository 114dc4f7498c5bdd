-- Record what deliveries came to; one whose claim was lost meanwhile changes nothing. What would pause is due at once
-- if its subscription is on again, for nothing else would resume it: the lock keeps that from changing meanwhile.
-- What was tried opens or closes the breaker of its endpoint, as rules.judge says; endpoints are locked in order, so that
-- two batches never lock each other out.
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
    ORDER BY subscription
    FOR SHARE OF subscriptions, applications
), completed AS (
    UPDATE gists SET status = CASE WHEN NOT coalesce(pausing.active, false) THEN o.status
                                   WHEN o.attempt = 0 THEN 'pending' ELSE 'retrying' END,
                     attempts = o.attempt, retries = o.retries, claim = NULL, leased = NULL,
                     due = clock_timestamp() + o.delay
    FROM outcome o LEFT JOIN pausing USING (gist)
    WHERE gists.gist = o.gist AND gists.claim = o.claim
    RETURNING gists.gist, o.claim, subscription
), recorded AS (
    INSERT INTO attempts (gist, attempt, status, milliseconds, response, error, timestamped)
    SELECT gist, attempt, http, milliseconds, response, error, timestamped
    FROM outcome JOIN completed USING (gist, claim) WHERE tried
), tally AS MATERIALIZED (
    SELECT subscription, count(*) AS tried, count(*) FILTER (WHERE http IS NULL OR http NOT BETWEEN 200 AND 299) AS failed
    FROM completed JOIN outcome USING (gist, claim) WHERE tried GROUP BY subscription
), before AS MATERIALIZED (
    SELECT subscription, breaker, since, fresh, tried, failed,
           CASE WHEN fresh THEN 0 WHEN requests > %(memory)s THEN %(memory)s / 2 ELSE requests END + tried AS requests,
           CASE WHEN fresh THEN 0 WHEN requests > %(memory)s THEN failures * (%(memory)s / 2) / requests
                ELSE failures END + failed AS failures
    FROM endpoints JOIN tally USING (subscription)
    CROSS JOIN LATERAL (SELECT coalesce(since < clock_timestamp() - %(window)s, true) AS fresh) w
    ORDER BY subscription
    FOR UPDATE OF endpoints
), judged AS (
    SELECT *, CASE WHEN breaker = 'half_open' THEN CASE WHEN failed < tried THEN 'closed' ELSE 'open' END
                   WHEN breaker = 'closed' AND requests >= %(least)s AND failures >= %(ratio)s * requests THEN 'open'
                   ELSE breaker END AS next
    FROM before
), moved AS (
    UPDATE endpoints SET
        breaker = next,
        until = CASE WHEN next = endpoints.breaker THEN endpoints.until
                     WHEN next = 'open' THEN clock_timestamp() + %(rest)s END,
        since = CASE WHEN next <> judged.breaker THEN NULL WHEN fresh THEN clock_timestamp() ELSE judged.since END,
        requests = CASE WHEN next <> judged.breaker THEN 0 ELSE judged.requests END,
        failures = CASE WHEN next <> judged.breaker THEN 0 ELSE judged.failures END
    FROM judged WHERE endpoints.subscription = judged.subscription
)
SELECT gist FROM completed
