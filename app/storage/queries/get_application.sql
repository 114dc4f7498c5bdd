-- One application by its name.
SELECT application, address, secret, apikey_hash, description, active, timestamped, previous_secret, rotated
FROM applications WHERE application = %(application)s
