-- The actions of others that an application may read.
SELECT action FROM grants WHERE application = %(application)s AND permission = 'read'
