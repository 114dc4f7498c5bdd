-- Forget idempotency keys that have had their time, some at a time.
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys WHERE timestamped < now() - %(keys)s ORDER BY timestamped LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
))
RETURNING key
