-- Where the audit ends, as the registry remembers it.
SELECT entries, hash FROM registry
