-- Store events, their gists and their idempotency keys, all or nothing. What its key stands for already, and what was
-- checked against another revision of the registry, is left out; for the latter there is a row that says so. Revision 0
-- stands for whichever is in force. Sorted by key, so that two such statements never wait for each other crosswise.
WITH draft AS (
    SELECT * FROM json_to_recordset(%(drafts)s) AS d (
        event uuid, action text, application text, payload json, metadata json, deduper text, sleep_until timestamptz,
        publisher text, key text, digest text, lane bigint, revision bigint, place integer,
        payload_text text, metadata_text text)
), checked AS MATERIALIZED (
    SELECT draft.* FROM draft JOIN registry ON draft.revision IN (registry.revision, 0)
), keyed AS (
    INSERT INTO idempotency_keys (publisher, key, event, digest)
    SELECT publisher, key, event, decode(digest, 'hex') FROM checked WHERE key IS NOT NULL ORDER BY publisher, key, place
    ON CONFLICT (publisher, key) DO NOTHING
    RETURNING event
), fresh AS MATERIALIZED (
    SELECT * FROM checked WHERE key IS NULL OR event IN (SELECT event FROM keyed)
), subscriber AS MATERIALIZED (
    SELECT action, subscription, ordered
    FROM subscriptions JOIN applications USING (application)
    WHERE action IN (SELECT action FROM draft) AND subscriptions.active AND deleted IS NULL AND applications.active
), stored AS (
    INSERT INTO events (event, action, application, payload, metadata, deduper, sleep_until, lane, fanout)
    SELECT event, action, application, coalesce(payload, payload_text::json), coalesce(metadata, metadata_text::json),
           deduper, sleep_until, lane,
           (SELECT count(*) FROM subscriber WHERE subscriber.action = fresh.action)
    FROM fresh ORDER BY place
    RETURNING event, action, sleep_until, lane, position, timestamped, fanout
), fanout AS (
    INSERT INTO gists (gist, event, subscription, lane, position, due)
    SELECT gist_of(event, subscription), event, subscription, CASE WHEN ordered THEN lane END, position,
           coalesce(sleep_until, now())
    FROM stored JOIN subscriber USING (action) ORDER BY position
)
SELECT event, timestamped, fanout, true AS checked FROM stored
UNION ALL
SELECT event, NULL, NULL, false FROM draft WHERE revision NOT IN ((SELECT revision FROM registry), 0)
