-- What paused while an application was inactive is due again, where its subscription is on.
UPDATE gists SET status = CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END, due = clock_timestamp()
FROM subscriptions
WHERE gists.status = 'paused' AND subscriptions.subscription = gists.subscription
  AND subscriptions.application = %(application)s AND subscriptions.active
