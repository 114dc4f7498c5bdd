-- One page of subscriptions.
SELECT subscription, application, action, handler, max_retries, description, active, timestamped, rate_limit, ordered
FROM subscriptions
WHERE deleted IS NULL
  AND (%(application)s::text IS NULL OR application = %(application)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(since)s::timestamptz IS NULL OR timestamped >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR timestamped < %(until)s)
  AND (%(key)s::uuid IS NULL OR subscription {beyond} %(key)s::uuid)
ORDER BY subscription {direction} LIMIT %(limit)s
