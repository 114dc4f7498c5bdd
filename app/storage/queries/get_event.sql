-- One event by its id.
SELECT event, action, application, payload, metadata, deduper, sleep_until, timestamped, fanout
FROM events WHERE event = %(event)s
