-- Store an event, its gists and its idempotency key, all or nothing; no row when the key is there already.
-- A gist's id starts with its event's, which starts with the time: new rows land beside each other in the index.
WITH key AS (
    INSERT INTO idempotency_keys (publisher, key, event, digest)
    VALUES (%(publisher)s, %(key)s, %(event)s, %(digest)s)
    ON CONFLICT (publisher, key) DO NOTHING
    RETURNING event
), subscriber AS MATERIALIZED (
    SELECT subscription FROM subscriptions JOIN applications USING (application)
    WHERE action = %(action)s AND subscriptions.active AND deleted IS NULL AND applications.active
), fanout AS (
    INSERT INTO gists (gist, event, subscription, due)
    SELECT (left(event::text, 18) || substr(gen_random_uuid()::text, 19))::uuid, event, subscription,
           coalesce(%(sleep_until)s::timestamptz, now())
    FROM key CROSS JOIN subscriber
)
INSERT INTO events (event, action, application, payload, metadata, deduper, sleep_until, fanout)
SELECT event, %(action)s, %(application)s, %(payload)s, %(metadata)s, %(deduper)s, %(sleep_until)s,
       (SELECT count(*) FROM subscriber)
FROM key
RETURNING event, action, application, payload, metadata, deduper, sleep_until, timestamped, fanout
