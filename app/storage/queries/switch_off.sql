-- Switch subscriptions off whose handlers are gone, as far as who reports it still holds the gist; returns those that were
-- on.
UPDATE subscriptions SET active = false
WHERE subscription IN (
    SELECT subscription FROM subscriptions
    WHERE active AND subscription IN (
        SELECT subscription FROM gists JOIN unnest(%(gist)s::uuid[], %(claim)s::uuid[]) AS gone (gist, claim) USING (gist, claim)
    )
    ORDER BY subscription FOR UPDATE
)
RETURNING subscription
