-- Record what deliveries came to; one whose claim was lost meanwhile changes nothing.
WITH outcome AS (
    SELECT * FROM unnest(
        %(gist)s::uuid[], %(claim)s::uuid[], %(status)s::text[], %(attempt)s::integer[], %(retries)s::integer[],
        %(delay)s::interval[], %(http)s::integer[], %(milliseconds)s::integer[], %(response)s::text[],
        %(error)s::text[], %(timestamped)s::timestamptz[], %(tried)s::boolean[]
    ) AS o (gist, claim, status, attempt, retries, delay, http, milliseconds, response, error, timestamped, tried)
), completed AS (
    UPDATE gists SET status = o.status, attempts = o.attempt, retries = o.retries, claim = NULL,
                     due = clock_timestamp() + o.delay
    FROM outcome o WHERE gists.gist = o.gist AND gists.claim = o.claim
    RETURNING gists.gist
), recorded AS (
    INSERT INTO attempts (gist, attempt, status, milliseconds, response, error, timestamped)
    SELECT gist, attempt, http, milliseconds, response, error, timestamped
    FROM outcome JOIN completed USING (gist) WHERE tried
)
SELECT count(*) AS completed FROM completed
