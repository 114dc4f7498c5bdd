-- Subscribe, or revive the same subscription.
INSERT INTO subscriptions (subscription, application, action, handler, max_retries, description, active)
VALUES (%(subscription)s, %(application)s, %(action)s, %(handler)s, %(max_retries)s, %(description)s, %(active)s)
ON CONFLICT (application, action, handler) DO UPDATE
SET max_retries = excluded.max_retries, description = excluded.description, active = excluded.active, deleted = NULL
RETURNING subscription, application, action, handler, max_retries, description, active, timestamped
