-- What keys may do: roles of institutions, permissions, restrictions and networks. The table of
-- keys is made anew, as its check of roles cannot be changed.

-- +goose Up
CREATE TABLE roles (
    institution_id blob NOT NULL REFERENCES institutions,
    name           text NOT NULL,
    permissions    text NOT NULL, -- JSON array, in the order of the alphabet
    version        integer NOT NULL CHECK (version > 0),
    created_at     integer NOT NULL,
    updated_at     integer NOT NULL,
    PRIMARY KEY (institution_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE new_api_keys (
    institution_id   blob NOT NULL REFERENCES institutions,
    id               blob NOT NULL,
    label            text NOT NULL,
    role             text NOT NULL, -- empty where permissions says what the key may do
    hash             blob NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the secret
    created_at       integer NOT NULL,
    expires_at       integer,
    revoked_at       integer,
    rotated_to       blob, -- the key that takes its place
    version          integer NOT NULL CHECK (version > 0),
    owner            text, -- who answers for the key
    permissions      text NOT NULL DEFAULT '[]', -- JSON array, in the order of the alphabet
    restriction      text, -- JSON object
    allowed_networks text NOT NULL DEFAULT '[]', -- JSON array; empty allows all
    PRIMARY KEY (institution_id, id),
    CHECK ((role = '') = (permissions <> '[]'))
) STRICT, WITHOUT ROWID;

INSERT INTO new_api_keys (institution_id, id, label, role, hash, created_at, expires_at, revoked_at, rotated_to, version)
SELECT institution_id, id, label, role, hash, created_at, expires_at, revoked_at, rotated_to, version
FROM api_keys;

DROP TABLE api_keys;
ALTER TABLE new_api_keys RENAME TO api_keys;

-- Not unique: a unique index without institution_id cannot be sharded, and two
-- secrets of 256 random bits do not meet.
CREATE INDEX api_keys_hash ON api_keys (hash);

-- An institution's active keys are listed, and counted with each new one.
CREATE INDEX api_keys_active ON api_keys (institution_id, id) WHERE revoked_at IS NULL;

-- Keys that end are told of before they do.
CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;

-- When and from where keys were last used: no part of the books, and written now and then.
CREATE TABLE api_key_uses (
    institution_id blob NOT NULL,
    id             blob NOT NULL,
    last_used_at   integer NOT NULL,
    last_used_from text NOT NULL, -- an address
    PRIMARY KEY (institution_id, id)
) STRICT, WITHOUT ROWID;

INSERT INTO duty_leases VALUES (5, 0, 0);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('roles', 'roles', '1000 10 1'),
    ('api_keys', 'api_keys', '10000 10 1'),
    ('api_keys', 'api_keys_hash', '10000 1'),
    ('api_keys', 'api_keys_active', '2000 2 1'),
    ('api_keys', 'api_keys_expiry', '1000 1'),
    ('api_key_uses', 'api_key_uses', '10000 10 1');
