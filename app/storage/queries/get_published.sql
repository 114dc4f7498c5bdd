-- The event that was stored for an idempotency key before, and whether it had the same content.
SELECT event, action, application, payload, metadata, deduper, sleep_until, events.timestamped, fanout,
       digest = %(digest)s AS same_content
FROM idempotency_keys JOIN events USING (event)
WHERE publisher = %(publisher)s AND key = %(key)s
