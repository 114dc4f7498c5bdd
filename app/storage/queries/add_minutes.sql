-- Add what a process counted to the minutes it happened in. Sorted, so that two processes never lock each other out.
INSERT INTO minutes (minute, application, published, delivered, retried, failed, latency, due, oldest_seconds)
SELECT minute, application, published, delivered, retried, failed, string_to_array(latency, ',')::bigint[], due, oldest
FROM unnest(%(minute)s::timestamptz[], %(application)s::text[], %(published)s::bigint[], %(delivered)s::bigint[],
            %(retried)s::bigint[], %(failed)s::bigint[], %(latency)s::text[], %(due)s::bigint[], %(oldest)s::float[])
     AS m (minute, application, published, delivered, retried, failed, latency, due, oldest)
ORDER BY minute, application
ON CONFLICT (minute, application) DO UPDATE SET
    published = minutes.published + excluded.published, delivered = minutes.delivered + excluded.delivered,
    retried = minutes.retried + excluded.retried, failed = minutes.failed + excluded.failed,
    latency = coalesce(added(minutes.latency, excluded.latency), '{}'), due = greatest(minutes.due, excluded.due),
    oldest_seconds = greatest(minutes.oldest_seconds, excluded.oldest_seconds)
