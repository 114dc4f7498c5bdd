-- One action by its name.
SELECT action, application, schemata, version, timestamped, compatibility, status, successor
FROM actions WHERE action = %(action)s
