-- The transparency log of each journal: the Merkle tree over its entries, and the
-- checkpoints that were signed of it. All of it is made from the journal, behind the
-- write path.

-- +goose Up
-- The hashes of a tree, 256 of one level together. Only the last tile of a level grows.
CREATE TABLE journal_tiles (
    institution_id uuid   NOT NULL,
    level          bigint NOT NULL,
    number         bigint NOT NULL,
    hashes         bytea  NOT NULL,
    PRIMARY KEY (institution_id, level, number)
);

-- note is the checkpoint as it was signed; the other columns repeat parts of it.
-- balances holds what all entries up to its size sum to, as JSON.
CREATE TABLE journal_checkpoints (
    institution_id uuid   NOT NULL,
    size           bigint NOT NULL CHECK (size > 0),
    at             timestamptz NOT NULL,
    note           bytea  NOT NULL,
    balances       text   NOT NULL,
    PRIMARY KEY (institution_id, size)
);

CREATE INDEX journal_checkpoints_at ON journal_checkpoints (at);

CREATE TRIGGER journal_checkpoints_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON journal_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The keys that checkpoints were ever signed with. signing_key is there only for one
-- that a server has made for itself.
CREATE TABLE checkpoint_keys (
    verifier_key text COLLATE "C" PRIMARY KEY,
    signing_key  text,
    created_at   timestamptz NOT NULL
);
