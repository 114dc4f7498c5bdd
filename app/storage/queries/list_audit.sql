-- Entries of the audit, in order.
SELECT entry, timestamped, actor, verb, subject, details, hash
FROM audit WHERE entry > %(after)s ORDER BY entry LIMIT %(most)s
