-- One page of actions.
SELECT action, application, schemata, version, timestamped, compatibility, status, successor
FROM actions
WHERE (%(application)s::text IS NULL OR application = %(application)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(since)s::timestamptz IS NULL OR timestamped >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR timestamped < %(until)s)
  AND (%(key)s::text IS NULL OR action {beyond} %(key)s)
ORDER BY action {direction} LIMIT %(limit)s
