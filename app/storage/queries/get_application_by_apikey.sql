-- The application that an API key belongs to, by the key's hash.
SELECT application, address, secret, apikey_hash, description, active, timestamped, previous_secret, rotated
FROM applications WHERE apikey_hash = %(apikey_hash)s
