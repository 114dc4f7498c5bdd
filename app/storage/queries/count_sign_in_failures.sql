-- The most failures of any of these within the window.
SELECT coalesce(max(failures), 0) AS failures
FROM sign_in_failures WHERE who = ANY (%(who)s) AND since > now() - %(window)s
