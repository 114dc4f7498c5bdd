-- Give an action another schema, which makes it the next version.
UPDATE actions SET schemata = %(schemata)s, version = version + 1
WHERE action = %(action)s
RETURNING action, application, schemata, version, timestamped
