-- What paused while a subscription was off is due again.
UPDATE gists SET status = CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END, due = clock_timestamp()
WHERE subscription = %(subscription)s AND status = 'paused'
