-- How it goes with the handlers of some subscriptions.
SELECT subscription, breaker, until, since, requests, failures, slot
FROM endpoints WHERE subscription = ANY (%(subscription)s) ORDER BY subscription
