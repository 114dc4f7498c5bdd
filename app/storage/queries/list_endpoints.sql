-- All that have an endpoint, for a claim to begin at one of them.
SELECT subscription FROM endpoints
