-- Somebody signed in: what failed before is forgotten.
DELETE FROM sign_in_failures WHERE who = ANY (%(who)s)
