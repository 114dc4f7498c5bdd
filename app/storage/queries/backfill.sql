-- Gists for events of a subscription's action that it has none of, some events at a time: returns how many, and the event
-- to go on after where there may be more. A gist's id stands for event and subscription, so none is made twice.
WITH target AS (
    SELECT subscription, action, ordered FROM subscriptions WHERE subscription = %(subscription)s AND deleted IS NULL
), seen AS MATERIALIZED (
    SELECT event, events.position, lane
    FROM events JOIN target USING (action)
    WHERE (%(since)s::timestamptz IS NULL OR events.timestamped >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR events.timestamped < %(until)s)
      AND (%(after)s::uuid IS NULL OR event > %(after)s)
    ORDER BY event LIMIT %(most)s
), missing AS (
    SELECT gist_of(event, subscription) AS gist, event, subscription, ordered, position, lane
    FROM seen CROSS JOIN target
    WHERE NOT EXISTS (SELECT FROM gists WHERE gists.gist = gist_of(seen.event, target.subscription))
), made AS (
    INSERT INTO gists (gist, event, subscription, lane, position, due)
    SELECT gist, event, subscription, CASE WHEN ordered THEN lane END, position, clock_timestamp()
    FROM missing WHERE NOT %(dry_run)s ORDER BY gist
    ON CONFLICT (gist) DO NOTHING
    RETURNING event
), counted AS (
    UPDATE events SET fanout = fanout + 1 FROM made WHERE events.event = made.event
)
SELECT CASE WHEN %(dry_run)s THEN (SELECT count(*) FROM missing) ELSE (SELECT count(*) FROM made) END AS many,
       (SELECT event FROM seen ORDER BY event DESC LIMIT 1) AS last, (SELECT count(*) FROM seen) AS seen
