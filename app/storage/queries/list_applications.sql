-- One page of applications.
SELECT application, address, secret, apikey_hash, description, active, timestamped, previous_secret, rotated
FROM applications
WHERE (%(application)s::text IS NULL OR application = %(application)s)
  AND (%(since)s::timestamptz IS NULL OR timestamped >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR timestamped < %(until)s)
  AND (%(key)s::text IS NULL OR application {beyond} %(key)s)
ORDER BY application {direction} LIMIT %(limit)s
