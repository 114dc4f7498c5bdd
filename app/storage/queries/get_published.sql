-- The events that were stored for idempotency keys before, and whether they had the same content.
SELECT asked.place, events.event, action, application, payload, metadata, deduper, sleep_until, events.timestamped, fanout,
       idempotency_keys.digest = asked.digest AS same_content
FROM unnest(%(publisher)s::text[], %(key)s::text[], %(digest)s::bytea[])
     WITH ORDINALITY AS asked (publisher, key, digest, place)
JOIN idempotency_keys USING (publisher, key) JOIN events USING (event)
