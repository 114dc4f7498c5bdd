-- A subscription by its id, also one that was ended: gists name it.
SELECT subscription, application, action, handler, max_retries, description, active, timestamped, rate_limit, ordered
FROM subscriptions WHERE subscription = %(subscription)s
