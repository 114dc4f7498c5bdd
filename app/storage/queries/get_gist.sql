-- One gist by its id.
SELECT gist, gists.event, gists.subscription, events.action, subscriptions.application, gists.status, attempts, retries, due,
       gists.timestamped, leased, gists.lane, gists.position
FROM gists JOIN events USING (event) JOIN subscriptions USING (subscription)
WHERE gist = %(gist)s
