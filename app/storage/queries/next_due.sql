-- Seconds until something gets due that is not yet: of each subscription the next, however many wait.
WITH RECURSIVE ring (subscription, step) AS (
    VALUES ('00000000-0000-0000-0000-000000000000'::uuid, 0)
    UNION ALL
    SELECT next.subscription, step + 1
    FROM ring CROSS JOIN LATERAL (
        SELECT gists.subscription FROM gists
        WHERE gists.subscription > ring.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
        ORDER BY gists.subscription LIMIT 1
    ) next
    WHERE step < 1000
)
SELECT extract(epoch FROM min(next.due) - clock_timestamp())::float AS seconds
FROM ring CROSS JOIN LATERAL (
    SELECT due FROM gists
    WHERE gists.subscription = ring.subscription AND status IN ('pending', 'retrying') AND lane IS NULL
      AND due > clock_timestamp()
    ORDER BY due LIMIT 1
) next
