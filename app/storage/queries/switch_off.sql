-- Switch subscriptions off whose handlers are gone; returns those that were on.
UPDATE subscriptions SET active = false
WHERE subscription IN (
    SELECT subscription FROM subscriptions WHERE subscription = ANY (%(subscription)s) AND active
    ORDER BY subscription FOR UPDATE
)
RETURNING subscription
