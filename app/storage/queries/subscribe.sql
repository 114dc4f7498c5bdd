-- Subscribe, or revive the same subscription.
INSERT INTO subscriptions (subscription, application, action, handler, max_retries, description, active, rate_limit, ordered)
VALUES (%(subscription)s, %(application)s, %(action)s, %(handler)s, %(max_retries)s, %(description)s, %(active)s,
        %(rate_limit)s, %(ordered)s)
ON CONFLICT (application, action, handler) DO UPDATE
SET max_retries = excluded.max_retries, description = excluded.description, active = excluded.active, deleted = NULL,
    rate_limit = excluded.rate_limit, ordered = excluded.ordered
RETURNING subscription, application, action, handler, max_retries, description, active, timestamped, rate_limit, ordered
