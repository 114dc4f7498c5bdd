-- The oldest releases that run on the database's schema, by the schema that they were built for.
SELECT coalesce(max(oldest), 1) AS oldest FROM migrations
