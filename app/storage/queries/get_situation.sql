-- What explains a gist: its application, and the gist of its lane that goes before it.
SELECT applications.active AS application_active, clock_timestamp() AS now, (
           SELECT first.gist FROM gists AS first
           WHERE first.subscription = gists.subscription AND first.lane = gists.lane AND first.position < gists.position
             AND first.status IN ('pending', 'retrying') AND first.lane IS NOT NULL
           ORDER BY first.position LIMIT 1
       ) AS before
FROM gists JOIN subscriptions USING (subscription)
JOIN applications ON applications.application = subscriptions.application
WHERE gist = %(gist)s
