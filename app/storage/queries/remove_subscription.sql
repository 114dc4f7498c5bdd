-- End a subscription; what it has not received yet pauses when it comes up.
UPDATE subscriptions SET deleted = now(), active = false
WHERE subscription = %(subscription)s AND deleted IS NULL
RETURNING subscription
