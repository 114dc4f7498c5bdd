-- Settings whose value in the files differs from the one in force and cannot be changed while the server runs.
SELECT file.name, file.setting
FROM pg_file_settings AS file
JOIN pg_settings AS known USING (name)
WHERE known.context = 'postmaster' AND NOT file.applied AND file.error IS NOT NULL
