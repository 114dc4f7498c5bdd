-- What happened minute by minute, of all applications together.
SELECT minute, '' AS application, sum(published)::bigint AS published, sum(delivered)::bigint AS delivered,
       sum(retried)::bigint AS retried, sum(failed)::bigint AS failed, (
           SELECT array_agg(many ORDER BY place) FROM (
               SELECT place, sum(count)::bigint AS many
               FROM minutes AS same CROSS JOIN unnest(same.latency) WITH ORDINALITY AS l (count, place)
               WHERE same.minute = minutes.minute GROUP BY place
           ) AS counts
       ) AS latency, max(due) AS due, max(oldest_seconds) AS oldest_seconds
FROM minutes WHERE minute >= %(since)s
GROUP BY minute ORDER BY minute
