-- One page of events: of one application and of the actions it may read, or of all.
SELECT event, action, application, payload, metadata, deduper, sleep_until, timestamped, fanout
FROM events
WHERE (%(application)s::text IS NULL OR application = %(application)s OR action = ANY (%(readable)s))
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(deduper)s::text IS NULL OR deduper = %(deduper)s)
  AND (%(since)s::timestamptz IS NULL OR timestamped >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR timestamped < %(until)s)
  AND (%(key)s::uuid IS NULL OR event {beyond} %(key)s::uuid)
ORDER BY event {direction} LIMIT %(limit)s
