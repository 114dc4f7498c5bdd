-- Register an action; no row when the name is taken.
INSERT INTO actions (action, application, schemata, compatibility)
VALUES (%(action)s, %(application)s, %(schemata)s, %(compatibility)s)
ON CONFLICT (action) DO NOTHING
RETURNING action, application, schemata, version, timestamped, compatibility, status, successor
