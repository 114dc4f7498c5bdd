-- What an action is now, held until its change is committed.
SELECT version, schemata FROM actions WHERE action = %(action)s FOR UPDATE
