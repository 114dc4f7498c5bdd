-- oldest: 0001
-- A subscription is marked as deleted, and never goes. To have PostgreSQL check that each new gist has one locked the
-- subscription's row in every publish, and took its time.

ALTER TABLE gists DROP CONSTRAINT gists_subscription_fkey;
