-- Replace what may change about a subscription; a handler that another one has already is a unique violation.
UPDATE subscriptions
SET handler = %(handler)s, max_retries = %(max_retries)s, description = %(description)s, active = %(active)s,
    rate_limit = %(rate_limit)s, ordered = %(ordered)s
WHERE subscription = %(subscription)s AND deleted IS NULL
RETURNING subscription, application, action, handler, max_retries, description, active, timestamped, rate_limit, ordered
