-- One action by its name.
SELECT action, application, schemata, version, timestamped FROM actions WHERE action = %(action)s
