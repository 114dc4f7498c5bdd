-- Forget old failures to sign in, and minutes of long ago.
WITH sign_ins AS (DELETE FROM sign_in_failures WHERE since < now() - interval '1 day')
DELETE FROM minutes WHERE minute < now() - interval '8 days'
