-- Take a grant back; with that to read goes the application's subscription.
WITH revoked AS (
    DELETE FROM grants
    WHERE action = %(action)s AND application = %(application)s AND permission = %(permission)s
    RETURNING action, application, permission
), ended AS (
    UPDATE subscriptions SET active = false
    FROM revoked
    WHERE permission = 'read' AND subscriptions.action = revoked.action AND subscriptions.application = revoked.application
)
SELECT action FROM revoked
