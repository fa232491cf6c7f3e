-- What keys may do: roles of institutions, permissions, restrictions and networks.

-- +goose Up
CREATE TABLE roles (
    institution_id uuid NOT NULL REFERENCES institutions,
    name           text COLLATE "C" NOT NULL,
    permissions    text NOT NULL, -- JSON array, in the order of the alphabet
    version        bigint NOT NULL CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (institution_id, name)
);

ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_role_check,
    ADD COLUMN owner text, -- who answers for the key
    ADD COLUMN permissions text NOT NULL DEFAULT '[]', -- JSON array, in the order of the alphabet
    ADD COLUMN restriction text, -- JSON object
    ADD COLUMN allowed_networks text NOT NULL DEFAULT '[]', -- JSON array; empty allows all
    -- The role is empty where permissions says what the key may do.
    ADD CONSTRAINT api_keys_check CHECK ((role = '') = (permissions <> '[]'));

-- Keys that end are told of before they do.
CREATE INDEX api_keys_expiry ON api_keys (expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;

-- When and from where keys were last used: no part of the books, and written now and then.
CREATE TABLE api_key_uses (
    institution_id uuid NOT NULL,
    id             uuid NOT NULL,
    last_used_at   timestamptz NOT NULL,
    last_used_from text NOT NULL, -- an address
    PRIMARY KEY (institution_id, id)
);

INSERT INTO duty_leases VALUES (5, 0, '1970-01-01Z'); -- keys that end
