-- Deliver gists again, now, with all their retries; a dispatcher that holds one loses its claim. Some at a time: returns how
-- many, and the gist to go on after where there may be more.
WITH found AS (
    SELECT gist
    FROM gists JOIN events USING (event) JOIN subscriptions USING (subscription)
    WHERE (%(gists)s::uuid[] IS NULL OR gist = ANY (%(gists)s::uuid[]))
      AND (%(application)s::text IS NULL OR subscriptions.application = %(application)s)
      AND (%(action)s::text IS NULL OR events.action = %(action)s)
      AND (%(status)s::text IS NULL OR gists.status = %(status)s)
      AND (%(subscription)s::uuid IS NULL OR gists.subscription = %(subscription)s)
      AND (%(event)s::uuid IS NULL OR gists.event = %(event)s)
      AND (%(since)s::timestamptz IS NULL OR gists.timestamped >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR gists.timestamped < %(until)s)
      AND (%(after)s::uuid IS NULL OR gist > %(after)s)
    ORDER BY gist LIMIT %(most)s
), locked AS (
    SELECT gist FROM gists WHERE gist IN (SELECT gist FROM found) AND NOT %(dry_run)s ORDER BY gist FOR UPDATE
), requeued AS (
    UPDATE gists SET status = 'pending', retries = 0, due = clock_timestamp(), claim = NULL, leased = NULL
    FROM locked WHERE gists.gist = locked.gist
    RETURNING gists.gist
)
SELECT CASE WHEN %(dry_run)s THEN (SELECT count(*) FROM found) ELSE (SELECT count(*) FROM requeued) END AS many,
       (SELECT gist FROM found ORDER BY gist DESC LIMIT 1) AS last, (SELECT count(*) FROM found) AS seen
