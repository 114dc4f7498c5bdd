-- So many events of the one action, each with a gist that is due for its one subscription.
WITH numbered AS (
    SELECT number, lpad(to_hex(number), 12, '0') AS digits FROM generate_series(1, %(size)s) AS number
), published AS (
    INSERT INTO events (event, action, application, payload, metadata, fanout)
    SELECT (left(digits, 8) || '-' || right(digits, 4) || '-7000-8000-000000000000')::uuid, action, application,
           json_build_object('number', number, 'note', repeat('x', 150)), '{}', 1
    FROM numbered CROSS JOIN (SELECT action, application FROM actions WHERE application <> 'amebo') AS the_one
    RETURNING event
)
INSERT INTO gists (gist, event, subscription, due)
SELECT gist_of(event, subscription), event, subscription, clock_timestamp() - interval '1 hour'
FROM published CROSS JOIN subscriptions
