-- Who may publish and who may read an action.
SELECT action, application, permission, timestamped
FROM grants WHERE action = %(action)s ORDER BY application, permission
