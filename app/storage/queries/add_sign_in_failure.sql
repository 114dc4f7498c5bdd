-- One more failure of each of these; after a window the count starts again.
INSERT INTO sign_in_failures (who, since, failures)
SELECT who, now(), 1 FROM unnest(%(who)s::text[]) AS w (who) ORDER BY who
ON CONFLICT (who) DO UPDATE SET
    failures = CASE WHEN sign_in_failures.since > now() - %(window)s THEN sign_in_failures.failures + 1 ELSE 1 END,
    since = CASE WHEN sign_in_failures.since > now() - %(window)s THEN sign_in_failures.since ELSE now() END
