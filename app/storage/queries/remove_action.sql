-- Forget an action; foreign keys refuse it while something subscribes to it. Its events stay.
DELETE FROM actions WHERE action = %(action)s RETURNING action
