-- Replace what may change about an application.
UPDATE applications
SET address = %(address)s, description = %(description)s, active = %(active)s, secret = %(secret)s,
    apikey_hash = %(apikey_hash)s, previous_secret = %(previous_secret)s, rotated = %(rotated)s
WHERE application = %(application)s
RETURNING application, address, secret, apikey_hash, description, active, timestamped, previous_secret, rotated
