-- What paused while a subscription was off is due again, and its handler gets a fresh chance.
WITH forgiven AS (
    UPDATE endpoints SET breaker = 'closed', until = NULL, since = NULL, requests = 0, failures = 0
    WHERE subscription = %(subscription)s AND breaker <> 'closed'
)
UPDATE gists SET status = CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END, due = clock_timestamp()
WHERE subscription = %(subscription)s AND status = 'paused'
