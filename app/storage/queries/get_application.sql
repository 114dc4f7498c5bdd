-- One application by its name.
SELECT application, address, secret, apikey_hash, description, active, timestamped
FROM applications WHERE application = %(application)s
