-- One page of gists. Those of an event lie together, because their ids begin as the event's does.
SELECT gist, gists.event, gists.subscription, events.action, subscriptions.application, gists.status, attempts, retries, due,
       gists.timestamped, leased, gists.lane, gists.position
FROM gists JOIN events USING (event) JOIN subscriptions USING (subscription)
WHERE (%(application)s::text IS NULL OR subscriptions.application = %(application)s)
  AND (%(action)s::text IS NULL OR events.action = %(action)s)
  AND (%(status)s::text IS NULL OR gists.status = %(status)s)
  AND (%(subscription)s::uuid IS NULL OR gists.subscription = %(subscription)s)
  AND (%(event)s::uuid IS NULL OR gists.event = %(event)s AND gist BETWEEN %(lowest)s AND %(highest)s)
  AND (%(since)s::timestamptz IS NULL OR gists.timestamped >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR gists.timestamped < %(until)s)
  AND (%(key)s::uuid IS NULL OR gist {beyond} %(key)s::uuid)
ORDER BY gist {direction} LIMIT %(limit)s
