-- One subscription by its id.
SELECT subscription, application, action, handler, max_retries, description, active, timestamped, rate_limit, ordered
FROM subscriptions WHERE subscription = %(subscription)s AND deleted IS NULL
