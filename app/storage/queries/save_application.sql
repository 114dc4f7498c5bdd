-- Replace what an application may change about itself.
UPDATE applications SET address = %(address)s, description = %(description)s
WHERE application = %(application)s
RETURNING application, address, secret, apikey_hash, description, active, timestamped
