-- What happened minute by minute, of one application.
SELECT minute, application, published, delivered, retried, failed, latency, due, oldest_seconds
FROM minutes WHERE minute >= %(since)s AND application = %(application)s
ORDER BY minute
