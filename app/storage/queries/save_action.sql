-- Replace what may change about an action; no row when somebody else gave it another schema meanwhile.
UPDATE actions
SET schemata = %(schemata)s, version = %(version)s, compatibility = %(compatibility)s, status = %(status)s,
    successor = %(successor)s
WHERE action = %(action)s AND version IN (%(version)s, %(version)s - 1)
RETURNING action, application, schemata, version, timestamped, compatibility, status, successor
