-- Register an application; no row when the name is taken.
INSERT INTO applications (application, address, secret, apikey_hash, description)
VALUES (%(application)s, %(address)s, %(secret)s, %(apikey_hash)s, %(description)s)
ON CONFLICT (application) DO NOTHING
RETURNING application, address, secret, apikey_hash, description, active, timestamped, previous_secret, rotated
