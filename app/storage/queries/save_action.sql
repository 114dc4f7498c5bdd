-- Replace what may change about an action.
UPDATE actions
SET schemata = %(schemata)s, version = %(version)s, compatibility = %(compatibility)s, status = %(status)s,
    successor = %(successor)s
WHERE action = %(action)s
RETURNING action, application, schemata, version, timestamped, compatibility, status, successor
