-- People: who vouches for them, who they are, their sessions, and secrets that have to be known again.

-- +goose Up
CREATE TABLE identity_providers (
    institution_id uuid PRIMARY KEY REFERENCES institutions,
    issuer         text COLLATE "C" NOT NULL,
    client_id      text NOT NULL,
    has_secret     bigint NOT NULL CHECK (has_secret IN (0, 1)),
    secret_number  bigint NOT NULL CHECK (secret_number >= has_secret),
    audience       text,
    claims         text NOT NULL, -- JSON object
    role_by_group  text, -- JSON object; NULL where no group has a role
    version        bigint NOT NULL CHECK (version > 0),
    created_at     timestamptz NOT NULL, -- since when the issuer is used
    updated_at     timestamptz NOT NULL,
    removed_at     timestamptz,
    CHECK (removed_at IS NULL OR has_secret = 0)
);

-- A token names its issuer, and not the institution.
CREATE INDEX identity_providers_issuer ON identity_providers (issuer, institution_id) WHERE removed_at IS NULL;

CREATE TABLE users (
    institution_id uuid NOT NULL REFERENCES institutions,
    id             uuid NOT NULL,
    issuer         text COLLATE "C" NOT NULL,
    subject        text COLLATE "C", -- what the issuer calls the user; NULL where it was erased
    display_name   text,
    email          text,
    joined_at      timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    suspended_at   timestamptz,
    suspensions    bigint NOT NULL CHECK (suspensions >= 0),
    version        bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (institution_id, id),
    CHECK (suspended_at IS NULL OR suspensions > 0)
);

-- A person is one user.
CREATE UNIQUE INDEX users_identity ON users (institution_id, issuer, subject);

-- Secrets that are sealed under a key which is not in the database. An entry tells that there is one.
CREATE TABLE secrets (
    institution_id uuid NOT NULL REFERENCES institutions,
    kind           text COLLATE "C" NOT NULL,
    subject        text COLLATE "C" NOT NULL, -- the subject of the resource that has it
    sealed         bytea, -- NULL where it was taken away
    sealed_under   text COLLATE "C" NOT NULL, -- the id of the key; empty where it was taken away
    PRIMARY KEY (institution_id, kind, subject),
    CHECK ((sealed IS NULL) = (sealed_under = ''))
);

-- A server looks whether it has all keys, and secrets are sealed anew key by key.
CREATE INDEX secrets_key ON secrets (sealed_under, institution_id, kind, subject);

-- What browsers act with for keys and people: no part of the books. The operator's have the zero institution.
CREATE TABLE sessions (
    institution_id uuid NOT NULL,
    id             uuid NOT NULL,
    actor          text COLLATE "C" NOT NULL, -- whom it acts for
    hash           bytea NOT NULL CHECK (octet_length(hash) = 32), -- SHA-256 of the token
    groups         text NOT NULL, -- JSON array: those that the token of a person named
    suspensions    bigint NOT NULL, -- the user's at the login
    vouched_since  timestamptz, -- the identity provider's created_at at the login
    vouched_by     bytea CHECK (octet_length(vouched_by) = 32), -- what ties it to the operator's configuration
    created_at     timestamptz NOT NULL,
    last_seen_at   timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    client         text NOT NULL, -- an address
    agent          text NOT NULL,
    PRIMARY KEY (institution_id, id),
    -- Those of institutions act for keys and users, those of the operator for its people and the root key.
    CHECK (substr(actor, 1, 4) IN ('key_', 'usr_', 'opr_', 'root')),
    CHECK ((substr(actor, 1, 4) = 'usr_') = (vouched_since IS NOT NULL)),
    CHECK ((substr(actor, 1, 4) IN ('opr_', 'root')) = (vouched_by IS NOT NULL)),
    CHECK ((institution_id = '00000000-0000-0000-0000-000000000000') = (vouched_by IS NOT NULL))
);

-- Not unique, as that of keys is not.
CREATE INDEX sessions_hash ON sessions (hash);

CREATE INDEX sessions_actor ON sessions (actor, institution_id, id);

CREATE INDEX sessions_end ON sessions (ends_at);
