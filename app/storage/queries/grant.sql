-- Let an application publish or read an action; once more changes nothing.
INSERT INTO grants (action, application, permission)
VALUES (%(action)s, %(application)s, %(permission)s)
ON CONFLICT (action, application, permission) DO UPDATE SET permission = excluded.permission
RETURNING action, application, permission, timestamped
