-- Take due gists under a lease: from each endpoint its share, an open breaker's none, a half open one's a single probe,
-- a rate limit's what it allows; passing over those that another dispatcher is taking at this moment.
-- The ring walks from a random place once round the subscriptions that have something open, by one look into an index
-- each, so that a claim costs the same however much is waiting. docs/decisions/016 says why it is done so.
WITH RECURSIVE ring (leg, subscription, step) AS (
    VALUES (0, %(start)s::uuid, 0), (1, '00000000-0000-0000-0000-000000000000'::uuid, 0)
    UNION ALL
    SELECT leg, next.subscription, step + 1
    FROM ring CROSS JOIN LATERAL (
        SELECT least(
            (SELECT gists.subscription FROM gists
             WHERE gists.subscription > ring.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
             ORDER BY gists.subscription LIMIT 1),
            (SELECT gists.subscription FROM gists
             WHERE gists.subscription > ring.subscription AND status IN ('pending', 'retrying') AND lane IS NOT NULL
             ORDER BY gists.subscription LIMIT 1)
        ) AS subscription
    ) next
    WHERE step < %(limit)s AND next.subscription IS NOT NULL AND (leg = 0 OR next.subscription < %(start)s)
), candidate AS MATERIALIZED (
    SELECT subscription FROM ring WHERE step > 0 ORDER BY leg, step LIMIT %(limit)s
), gate AS MATERIALIZED (  -- one dispatcher at a time sends a probe or spends an allowance
    SELECT subscription, breaker, slot, rate_limit
    FROM endpoints JOIN candidate USING (subscription) JOIN subscriptions USING (subscription)
    WHERE (breaker <> 'closed' AND until <= clock_timestamp()) OR (breaker = 'closed' AND rate_limit IS NOT NULL)
    ORDER BY subscription
    FOR UPDATE OF endpoints SKIP LOCKED
), open_door AS (
    SELECT subscription, NULL::integer AS allowed
    FROM candidate JOIN endpoints USING (subscription) JOIN subscriptions USING (subscription)
    WHERE breaker = 'closed' AND rate_limit IS NULL
    UNION ALL
    SELECT subscription,
           CASE WHEN breaker <> 'closed' THEN 1
                ELSE floor(extract(epoch FROM least(clock_timestamp() - slot, burst(rate_limit))) * rate_limit
                           + 1e-5)::integer END  -- a microsecond that rounding takes is no delivery less
    FROM gate
), share AS MATERIALIZED (
    SELECT subscription, allowed, wanted, least(wanted, coalesce(allowed, wanted)) AS quota
    FROM (
        SELECT subscription, allowed, least(
            ceil(%(limit)s::numeric / count(*) OVER ()),
            greatest(1, (%(free)s - coalesce(held, 0)) / 2)
        )::integer AS wanted
        FROM open_door
        LEFT JOIN unnest(%(busy)s::uuid[], %(held)s::integer[]) AS b (subscription, held) USING (subscription)
        WHERE coalesce(allowed, 1) > 0 AND coalesce(held, 0) < %(free)s
    ) AS each
), chosen AS (
    SELECT due.gist
    FROM share CROSS JOIN LATERAL (
        SELECT gist FROM gists
        WHERE gists.subscription = share.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
          AND due <= clock_timestamp() AND (leased IS NULL OR leased <= clock_timestamp())
        ORDER BY due LIMIT quota
        FOR UPDATE SKIP LOCKED
    ) due
    UNION ALL
    SELECT due.gist
    FROM share CROSS JOIN LATERAL (
        SELECT gist FROM gists
        WHERE gist IN (SELECT first_in_lanes(share.subscription, quota, %(lane)s))
          AND status IN ('pending', 'retrying') AND (leased IS NULL OR leased <= clock_timestamp())
        FOR UPDATE SKIP LOCKED
    ) due
), claimed AS (
    UPDATE gists SET claim = %(claim)s, leased = clock_timestamp() + %(lease)s
    FROM (SELECT gist FROM chosen LIMIT %(limit)s) AS taken WHERE gists.gist = taken.gist
    RETURNING gists.gist, claim, event, subscription, attempts, retries, lane IS NOT NULL AS in_lane, gists.timestamped
), spent AS (
    UPDATE endpoints
    SET breaker = CASE WHEN gate.breaker <> 'closed' THEN 'half_open' ELSE endpoints.breaker END,
        until = CASE WHEN gate.breaker <> 'closed' THEN clock_timestamp() + %(lease)s ELSE endpoints.until END,
        slot = CASE WHEN rate_limit IS NOT NULL
                    THEN greatest(gate.slot, clock_timestamp() - burst(rate_limit)) + taken / rate_limit * interval '1 second'
               END
    FROM gate JOIN (SELECT subscription, count(*) AS taken FROM claimed GROUP BY subscription) t USING (subscription)
    WHERE endpoints.subscription = gate.subscription
)
SELECT gist, claim, event, subscription, events.action, payload::text, metadata::text, events.timestamped,
       greatest(claimed.timestamped, sleep_until) AS wanted,
       applications.application, address, handler, secret,
       CASE WHEN rotated > clock_timestamp() - %(rotation)s THEN previous_secret END AS previous_secret, attempts + 1 AS attempt, retries,
       max_retries, subscriptions.active AND applications.active AS active, in_lane,
       count(*) OVER (PARTITION BY subscription) >= wanted AND (allowed IS NULL OR allowed > wanted) AS more
FROM claimed JOIN events USING (event) JOIN subscriptions USING (subscription) JOIN share USING (subscription)
JOIN applications ON applications.application = subscriptions.application
