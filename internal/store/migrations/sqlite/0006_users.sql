-- People: who vouches for them, who they are, their sessions, and secrets that have to be known again.

-- +goose Up
CREATE TABLE identity_providers (
    institution_id blob PRIMARY KEY REFERENCES institutions,
    issuer         text NOT NULL,
    client_id      text NOT NULL,
    has_secret     integer NOT NULL CHECK (has_secret IN (0, 1)),
    secret_number  integer NOT NULL CHECK (secret_number >= has_secret),
    audience       text,
    claims         text NOT NULL, -- JSON object
    role_by_group  text, -- JSON object; NULL where no group has a role
    version        integer NOT NULL CHECK (version > 0),
    created_at     integer NOT NULL, -- since when the issuer is used
    updated_at     integer NOT NULL,
    removed_at     integer,
    CHECK (removed_at IS NULL OR has_secret = 0)
) STRICT, WITHOUT ROWID;

-- A token names its issuer, and not the institution.
CREATE INDEX identity_providers_issuer ON identity_providers (issuer, institution_id) WHERE removed_at IS NULL;

CREATE TABLE users (
    institution_id blob NOT NULL REFERENCES institutions,
    id             blob NOT NULL,
    issuer         text NOT NULL,
    subject        text, -- what the issuer calls the user; NULL where it was erased
    display_name   text,
    email          text,
    joined_at      integer NOT NULL,
    updated_at     integer NOT NULL,
    suspended_at   integer,
    suspensions    integer NOT NULL CHECK (suspensions >= 0),
    version        integer NOT NULL CHECK (version > 0),
    PRIMARY KEY (institution_id, id),
    CHECK (suspended_at IS NULL OR suspensions > 0)
) STRICT, WITHOUT ROWID;

-- A person is one user.
CREATE UNIQUE INDEX users_identity ON users (institution_id, issuer, subject);

-- Secrets that are sealed under a key which is not in the database. An entry tells that there is one.
CREATE TABLE secrets (
    institution_id blob NOT NULL REFERENCES institutions,
    kind           text NOT NULL,
    subject        text NOT NULL, -- the subject of the resource that has it
    sealed         blob, -- NULL where it was taken away
    sealed_under   text NOT NULL, -- the id of the key; empty where it was taken away
    PRIMARY KEY (institution_id, kind, subject),
    CHECK ((sealed IS NULL) = (sealed_under = ''))
) STRICT, WITHOUT ROWID;

-- A server looks whether it has all keys, and secrets are sealed anew key by key.
CREATE INDEX secrets_key ON secrets (sealed_under, institution_id, kind, subject);

-- What browsers act with for keys and people: no part of the books. The operator's have the zero institution.
CREATE TABLE sessions (
    institution_id blob NOT NULL,
    id             blob NOT NULL,
    actor          text NOT NULL, -- whom it acts for
    hash           blob NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the token
    groups         text NOT NULL, -- JSON array: those that the token of a person named
    suspensions    integer NOT NULL, -- the user's at the login
    vouched_since  integer, -- the identity provider's created_at at the login
    vouched_by     blob CHECK (length(vouched_by) = 32), -- what ties it to the operator's configuration
    created_at     integer NOT NULL,
    last_seen_at   integer NOT NULL,
    ends_at        integer NOT NULL,
    client         text NOT NULL, -- an address
    agent          text NOT NULL,
    PRIMARY KEY (institution_id, id),
    -- Those of institutions act for keys and users, those of the operator for its people and the root key.
    CHECK (substr(actor, 1, 4) IN ('key_', 'usr_', 'opr_', 'root')),
    CHECK ((substr(actor, 1, 4) = 'usr_') = (vouched_since IS NOT NULL)),
    CHECK ((substr(actor, 1, 4) IN ('opr_', 'root')) = (vouched_by IS NOT NULL)),
    CHECK ((institution_id = zeroblob(16)) = (vouched_by IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- Not unique, as that of keys is not.
CREATE INDEX sessions_hash ON sessions (hash);

CREATE INDEX sessions_actor ON sessions (actor, institution_id, id);

CREATE INDEX sessions_end ON sessions (ends_at);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('identity_providers', 'identity_providers', '1000 1'),
    ('identity_providers', 'identity_providers_issuer', '1000 2 1'),
    ('users', 'users', '100000 100 1'),
    ('users', 'users_identity', '100000 100 90 1'),
    ('secrets', 'secrets', '1000 10 5 1'),
    ('secrets', 'secrets_key', '1000 900 10 5 1'),
    ('sessions', 'sessions', '100000 100 1'),
    ('sessions', 'sessions_hash', '100000 1'),
    ('sessions', 'sessions_actor', '100000 5 5 1'),
    ('sessions', 'sessions_end', '100000 1');
