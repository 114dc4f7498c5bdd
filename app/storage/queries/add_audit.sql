-- One more entry of the audit, and what goes with every change: the next revision.
WITH added AS (
    INSERT INTO audit (entry, timestamped, actor, verb, subject, details, hash)
    VALUES (%(entry)s, %(timestamped)s, %(actor)s, %(verb)s, %(subject)s, %(details)s, %(hash)s)
)
UPDATE registry SET revision = revision + 1, entries = %(entry)s, hash = %(hash)s
