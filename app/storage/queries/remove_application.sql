-- Forget an application; foreign keys refuse it while something names it.
DELETE FROM applications WHERE application = %(application)s RETURNING application
