-- oldest: 0001
-- Names sort by byte (COLLATE "C"), in every locale alike, because cursors compare them.
CREATE TABLE applications (
    application text COLLATE "C" PRIMARY KEY,
    address     text NOT NULL,
    secret      text NOT NULL,
    apikey_hash bytea NOT NULL UNIQUE,
    description text NOT NULL DEFAULT '',
    active      boolean NOT NULL DEFAULT true,
    timestamped timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE actions (
    action      text COLLATE "C" PRIMARY KEY,
    application text COLLATE "C" NOT NULL REFERENCES applications,
    schemata    json NOT NULL,
    version     integer NOT NULL DEFAULT 1,
    timestamped timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX actions_by_application ON actions (application);

-- A deleted subscription stays as a row, because its gists name it and subscribing again revives it.
CREATE TABLE subscriptions (
    subscription uuid PRIMARY KEY,
    application  text COLLATE "C" NOT NULL REFERENCES applications,
    action       text COLLATE "C" NOT NULL REFERENCES actions,
    handler      text NOT NULL,
    max_retries  integer NOT NULL DEFAULT 5,
    description  text NOT NULL DEFAULT '',
    active       boolean NOT NULL DEFAULT true,
    deleted      timestamptz,
    timestamped  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (application, action, handler)
);
CREATE INDEX subscriptions_by_action ON subscriptions (action);

-- json, not jsonb: a payload is carried, never queried, and leaves with its keys in the order they came in.
CREATE TABLE events (
    event       uuid PRIMARY KEY,
    action      text COLLATE "C" NOT NULL,
    application text COLLATE "C" NOT NULL,
    payload     json NOT NULL,
    metadata    json NOT NULL,
    deduper     text,
    sleep_until timestamptz,
    fanout      integer NOT NULL,
    timestamped timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_by_action ON events (action, event);

-- Idempotency keys live apart from events, so that they can expire apart from them.
CREATE TABLE idempotency_keys (
    publisher   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    event       uuid NOT NULL,
    digest      bytea NOT NULL,
    timestamped timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (publisher, key)
);

-- While a dispatcher holds a gist, `claim` is set and `due` is the end of its lease: a dead dispatcher's gists
-- become due again by themselves.
CREATE TABLE gists (
    gist         uuid PRIMARY KEY,
    event        uuid NOT NULL,
    subscription uuid NOT NULL REFERENCES subscriptions,
    status       text NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'retrying', 'delivered', 'failed', 'paused')),
    attempts     integer NOT NULL DEFAULT 0,
    retries      integer NOT NULL DEFAULT 0,
    due          timestamptz NOT NULL,
    claim        uuid,
    timestamped  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gists_due ON gists (due) WHERE status IN ('pending', 'retrying');
CREATE INDEX gists_by_event ON gists (event);
CREATE INDEX gists_by_subscription ON gists (subscription, gist);
CREATE INDEX gists_failed ON gists (gist) WHERE status = 'failed';

CREATE TABLE attempts (
    gist         uuid NOT NULL,
    attempt      integer NOT NULL,
    status       integer,
    milliseconds integer NOT NULL,
    response     text NOT NULL,
    error        text,
    timestamped  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (gist, attempt)
);
