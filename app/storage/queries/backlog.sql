-- What waits: counted up to a bound, because nobody needs to know a million to the unit; the oldest of each subscription's
-- that is first; and breakers by state.
WITH RECURSIVE ring (subscription, step) AS (
    VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 0)
    UNION ALL
    SELECT next.subscription, step + 1
    FROM ring CROSS JOIN LATERAL (
        SELECT gists.subscription FROM gists
        WHERE gists.subscription > ring.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
        ORDER BY gists.subscription LIMIT 1
    ) next
    WHERE step < 10000
), first AS (
    SELECT due.due
    FROM ring CROSS JOIN LATERAL (
        SELECT due FROM gists
        WHERE gists.subscription = ring.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
        ORDER BY due LIMIT 1
    ) due
    UNION ALL
    SELECT min(due) FROM (
        SELECT due FROM gists WHERE status IN ('pending', 'retrying') AND lane IS NOT NULL LIMIT %(bound)s
    ) AS in_lanes
)
SELECT (SELECT count(*) FROM (
           (SELECT FROM gists
            WHERE status IN ('pending', 'retrying') AND lane IS NULL AND due <= clock_timestamp() LIMIT %(bound)s)
           UNION ALL
           (SELECT FROM gists
            WHERE status IN ('pending', 'retrying') AND lane IS NOT NULL AND due <= clock_timestamp() LIMIT %(bound)s)
           LIMIT %(bound)s
       ) AS due) AS due,
       coalesce((SELECT greatest(0, extract(epoch FROM clock_timestamp() - min(due))) FROM first), 0)::float AS oldest_seconds,
       (SELECT json_object_agg(breaker, many) FROM (
           SELECT breaker, count(*) AS many FROM endpoints GROUP BY breaker
       ) AS states) AS breakers
