-- The transparency log of each journal: the Merkle tree over its entries, and the
-- checkpoints that were signed of it. All of it is made from the journal, behind the
-- write path.

-- +goose Up
-- The hashes of a tree, 256 of one level together. Only the last tile of a level grows.
CREATE TABLE journal_tiles (
    institution_id blob    NOT NULL,
    level          integer NOT NULL,
    number         integer NOT NULL,
    hashes         blob    NOT NULL,
    PRIMARY KEY (institution_id, level, number)
) STRICT;

-- note is the checkpoint as it was signed; the other columns repeat parts of it.
-- balances holds what all entries up to its size sum to, as JSON.
CREATE TABLE journal_checkpoints (
    institution_id blob    NOT NULL,
    size           integer NOT NULL CHECK (size > 0),
    at             integer NOT NULL,
    note           blob    NOT NULL,
    balances       text    NOT NULL,
    PRIMARY KEY (institution_id, size)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE INDEX journal_checkpoints_at ON journal_checkpoints (at);

CREATE TRIGGER journal_checkpoints_no_update BEFORE UPDATE ON journal_checkpoints
BEGIN SELECT RAISE(ABORT, 'journal_checkpoints is append-only: UPDATE refused'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER journal_checkpoints_no_delete BEFORE DELETE ON journal_checkpoints
BEGIN SELECT RAISE(ABORT, 'journal_checkpoints is append-only: DELETE refused'); END;
-- +goose StatementEnd

-- INSERT OR REPLACE deletes the old row without its trigger.
-- +goose StatementBegin
CREATE TRIGGER journal_checkpoints_no_replace BEFORE INSERT ON journal_checkpoints
WHEN EXISTS (SELECT 1 FROM journal_checkpoints WHERE institution_id = NEW.institution_id AND size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'journal_checkpoints is append-only: REPLACE refused'); END;
-- +goose StatementEnd

-- The keys that checkpoints were ever signed with. signing_key is there only for one
-- that a server has made for itself.
CREATE TABLE checkpoint_keys (
    verifier_key text PRIMARY KEY,
    signing_key  text,
    created_at   integer NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('journal_tiles', 'sqlite_autoindex_journal_tiles_1', '100000 1000 900 1'),
    ('journal_checkpoints', 'journal_checkpoints', '100000 100 1');
