-- The present revision.
SELECT revision FROM registry
