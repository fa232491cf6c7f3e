-- The first schema. docs/architecture.md explains its shape.
--
-- Every tenant table's primary key begins with institution_id, so that the
-- schema can be sharded by tenant. Ids are UUIDv7: their order is the order of
-- creation, and lists are pages on the primary key or on an index that ends in
-- it. Times are microseconds since 1970.

-- +goose Up
CREATE TABLE institutions (
    id         blob PRIMARY KEY,
    name       text NOT NULL,
    regions    text NOT NULL, -- JSON array
    verticals  text NOT NULL, -- JSON array
    created_at integer NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    closed_at  integer
) STRICT, WITHOUT ROWID;

-- The end of each journal. A group locks its institutions' rows here, in order
-- of id, which makes each institution's writes serial over all servers. The row
-- of the zero id is the operator's: it serialises the making of institutions.
CREATE TABLE journal_heads (
    institution_id blob PRIMARY KEY,
    sequence       integer NOT NULL CHECK (sequence >= 0),
    last_at        integer NOT NULL,
    -- An entry that was acknowledged and is no longer there; 0 where none is known.
    lost_sequence  integer NOT NULL DEFAULT 0 CHECK (lost_sequence >= 0),
    -- The entry that closed the institution; 0 while it is open.
    closed_sequence integer NOT NULL DEFAULT 0 CHECK (closed_sequence >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX journal_heads_lost ON journal_heads (institution_id) WHERE lost_sequence > 0;

INSERT INTO journal_heads VALUES (zeroblob(16), 0, 0, 0, 0);

-- body holds the entry in the exact bytes that are hashed. private holds the secret and the
-- private values that the body has commitments to; it can become NULL, and nothing else can
-- change. The other columns repeat parts of the body for the indexes.
CREATE TABLE journal_entries (
    institution_id blob NOT NULL,
    sequence       integer NOT NULL CHECK (sequence > 0),
    at             integer NOT NULL,
    actor          text NOT NULL,
    kind           text NOT NULL,
    subject        text NOT NULL,
    body           blob NOT NULL,
    private        blob,
    PRIMARY KEY (institution_id, sequence)
) STRICT;

CREATE INDEX journal_entries_subject ON journal_entries (institution_id, subject, sequence);
CREATE INDEX journal_entries_actor ON journal_entries (institution_id, actor, sequence);
-- Nearly all entries are of the two kinds left out here: a page of those is found
-- on the primary key as fast.
CREATE INDEX journal_entries_kind ON journal_entries (institution_id, kind, sequence)
    WHERE kind NOT IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED');

-- +goose StatementBegin
CREATE TRIGGER journal_entries_no_update BEFORE UPDATE ON journal_entries
WHEN NEW.private IS NOT NULL OR NEW.rowid IS NOT OLD.rowid OR NEW.institution_id IS NOT OLD.institution_id
    OR NEW.sequence IS NOT OLD.sequence OR NEW.at IS NOT OLD.at OR NEW.actor IS NOT OLD.actor
    OR NEW.kind IS NOT OLD.kind OR NEW.subject IS NOT OLD.subject OR NEW.body IS NOT OLD.body
BEGIN SELECT RAISE(ABORT, 'journal_entries is append-only: UPDATE refused'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER journal_entries_no_delete BEFORE DELETE ON journal_entries
BEGIN SELECT RAISE(ABORT, 'journal_entries is append-only: DELETE refused'); END;
-- +goose StatementEnd

-- INSERT OR REPLACE deletes the old row without its trigger.
-- +goose StatementBegin
CREATE TRIGGER journal_entries_no_replace BEFORE INSERT ON journal_entries
WHEN EXISTS (SELECT 1 FROM journal_entries WHERE institution_id = NEW.institution_id AND sequence = NEW.sequence)
BEGIN SELECT RAISE(ABORT, 'journal_entries is append-only: REPLACE refused'); END;
-- +goose StatementEnd

CREATE TABLE api_keys (
    institution_id blob NOT NULL REFERENCES institutions,
    id             blob NOT NULL,
    label          text NOT NULL,
    role           text NOT NULL CHECK (role IN ('admin', 'read_only')),
    hash           blob NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the secret
    created_at     integer NOT NULL,
    expires_at     integer,
    revoked_at     integer,
    rotated_to     blob, -- the key that takes its place
    version        integer NOT NULL CHECK (version > 0),
    PRIMARY KEY (institution_id, id)
) STRICT, WITHOUT ROWID;

-- Not unique: a unique index without institution_id cannot be sharded, and two
-- secrets of 256 random bits do not meet.
CREATE INDEX api_keys_hash ON api_keys (hash);

-- An institution's active keys are listed, and counted with each new one.
CREATE INDEX api_keys_active ON api_keys (institution_id, id) WHERE revoked_at IS NULL;

CREATE TABLE policies (
    institution_id     blob NOT NULL REFERENCES institutions,
    region             text NOT NULL,
    min_amount         text, -- decimal numbers in units of any currency
    max_amount         text,
    allowed_currencies text NOT NULL, -- JSON array; empty allows all
    created_at         integer NOT NULL,
    updated_at         integer NOT NULL,
    PRIMARY KEY (institution_id, region)
) STRICT, WITHOUT ROWID;

CREATE TABLE asset_templates (
    institution_id blob NOT NULL REFERENCES institutions,
    id             blob NOT NULL,
    code           text NOT NULL,
    name           text NOT NULL,
    vertical       text NOT NULL,
    region         text NOT NULL,
    config         text NOT NULL, -- JSON object
    created_at     integer NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    closed_at      integer,
    PRIMARY KEY (institution_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE assets (
    institution_id blob NOT NULL,
    id             blob NOT NULL,
    template_id    blob NOT NULL,
    label          text NOT NULL,
    metadata       blob , -- JSON object as the client wrote it
    created_at     integer NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    closed_at      integer,
    PRIMARY KEY (institution_id, id),
    FOREIGN KEY (institution_id, template_id) REFERENCES asset_templates
) STRICT, WITHOUT ROWID;

CREATE INDEX assets_template ON assets (institution_id, template_id, id);

-- The asset is no foreign key: it was read under the lock of the journal in the
-- same transaction, assets are never deleted, and the check would cost a lookup
-- and a row lock with each insert.
CREATE TABLE positions (
    institution_id     blob NOT NULL,
    id                 blob NOT NULL,
    asset_id           blob NOT NULL,
    holder_reference   text, -- this, the next and the metadata are NULL once they were erased
    external_reference text,
    unique_in          blob, -- the template in which no other position has the external reference
    currency           text NOT NULL CHECK (length(currency) = 3),
    decimals           integer NOT NULL CHECK (decimals BETWEEN 0 AND 4), -- of the amounts
    amount             integer NOT NULL, -- all amounts in minor units
    funded             integer NOT NULL,
    released           integer NOT NULL,
    refunded           integer NOT NULL,
    held               integer NOT NULL,
    retained           integer NOT NULL,
    state              text NOT NULL,
    version            integer NOT NULL CHECK (version > 0),
    -- The bytes of metadata and reasons in its events.
    history_bytes      integer NOT NULL CHECK (history_bytes >= 0),
    expires_at         integer,
    metadata           blob ,
    created_at         integer NOT NULL,
    updated_at         integer NOT NULL,
    PRIMARY KEY (institution_id, id),
    CONSTRAINT positions_not_negative CHECK (
        amount > 0 AND funded >= 0 AND released >= 0 AND refunded >= 0 AND held >= 0
        AND retained BETWEEN 0 AND amount),
    CONSTRAINT positions_conserved CHECK (funded = released + refunded + held),
    CONSTRAINT positions_funded_whole CHECK (funded IN (0, amount)),
    CONSTRAINT positions_state_money CHECK (CASE state
        WHEN 'CREATED' THEN funded = 0
        WHEN 'FUNDED' THEN held = amount
        WHEN 'PARTIALLY_RELEASED' THEN held > 0 AND held >= retained AND released > 0 AND refunded = 0
        WHEN 'RELEASED' THEN released = amount
        WHEN 'CANCELLED' THEN held = 0
        WHEN 'EXPIRED' THEN held = 0
        ELSE false END)
) STRICT;

CREATE INDEX positions_asset ON positions (institution_id, asset_id, id);
CREATE INDEX positions_holder ON positions (institution_id, holder_reference, id);
CREATE INDEX positions_external ON positions (institution_id, external_reference, id)
    WHERE external_reference IS NOT NULL;
CREATE UNIQUE INDEX positions_reference ON positions (institution_id, unique_in, external_reference)
    WHERE unique_in IS NOT NULL;
CREATE INDEX positions_state ON positions (institution_id, state, id);
CREATE INDEX positions_currency ON positions (institution_id, currency, id);
CREATE INDEX positions_due ON positions (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('CREATED', 'FUNDED', 'PARTIALLY_RELEASED');

-- What became of the positions of one holder whose data were to be erased; not whose.
CREATE TABLE erasures (
    institution_id blob NOT NULL,
    id             blob NOT NULL,
    erased         integer NOT NULL CHECK (erased >= 0),
    open           integer NOT NULL CHECK (open >= 0),
    retained       integer NOT NULL CHECK (retained >= 0),
    retained_until integer,
    complete       integer NOT NULL CHECK (complete IN (0, 1)),
    created_at     integer NOT NULL,
    PRIMARY KEY (institution_id, id)
) STRICT, WITHOUT ROWID;

-- The outcome of the first request under an idempotency key: a subject of the
-- journal and the sequence at which it is the answer, or a refusal.
CREATE TABLE idempotency_records (
    institution_id blob NOT NULL,
    key            text NOT NULL,
    fingerprint    blob NOT NULL,
    subject        text NOT NULL,
    sequence       integer NOT NULL,
    refusal        text, -- JSON
    nonce          blob ,
    request_id     text NOT NULL,
    created_at     integer NOT NULL,
    PRIMARY KEY (institution_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_records_created ON idempotency_records (created_at);

-- The bounded log of refused attempts that concern security, those of a minute that are
-- alike counted in one row. Not part of any journal: nothing happened.
CREATE TABLE security_events (
    id             blob PRIMARY KEY,
    at             integer NOT NULL,
    institution_id blob NOT NULL, -- zero where it is not known
    actor          text NOT NULL,
    code           text NOT NULL,
    method         text NOT NULL,
    path           text NOT NULL,
    client         text NOT NULL,
    request_id     text NOT NULL,
    last_at        integer NOT NULL,
    count          integer NOT NULL CHECK (count > 0)
) STRICT, WITHOUT ROWID;

-- A row is here for as long as another database is being copied into this one, which nobody
-- may serve until then.
CREATE TABLE unfinished_copies (
    source   text PRIMARY KEY, -- without a password
    begun_at integer NOT NULL
) STRICT, WITHOUT ROWID;

-- The planner is told the shape that the tables will have: rows in all, then how
-- many share the index's first column, its first two, and so on. Without this it
-- takes the primary key for lists that another index holds in the same order, and
-- walks a whole journal for one position's entries.
ANALYZE;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('institutions', 'institutions', '1000 1'),
    ('journal_heads', 'journal_heads', '1000 1'),
    ('journal_entries', 'sqlite_autoindex_journal_entries_1', '20000000 20000 1'),
    ('journal_entries', 'journal_entries_subject', '20000000 20000 3 1'),
    ('journal_entries', 'journal_entries_actor', '20000000 20000 5000 1'),
    ('journal_entries', 'journal_entries_kind', '100000 100 20 1'),
    ('api_keys', 'api_keys', '10000 10 1'),
    ('api_keys', 'api_keys_hash', '10000 1'),
    ('api_keys', 'api_keys_active', '2000 2 1'),
    ('policies', 'policies', '4000 4 1'),
    ('asset_templates', 'asset_templates', '10000 10 1'),
    ('assets', 'assets', '100000 100 1'),
    ('assets', 'assets_template', '100000 100 10 1'),
    ('positions', 'sqlite_autoindex_positions_1', '10000000 10000 1'),
    ('positions', 'positions_asset', '10000000 10000 100 1'),
    ('positions', 'positions_holder', '10000000 10000 10 1'),
    ('positions', 'positions_external', '10000000 10000 2 1'),
    ('positions', 'positions_reference', '100000 1000 100 1'),
    ('positions', 'positions_state', '10000000 10000 2000 1'),
    ('positions', 'positions_currency', '10000000 10000 5000 1'),
    ('positions', 'positions_due', '1000000 2'),
    ('erasures', 'erasures', '1000 10 1'),
    ('idempotency_records', 'idempotency_records', '1000000 1000 1'),
    ('idempotency_records', 'idempotency_records_created', '1000000 2'),
    ('security_events', 'security_events', '100000 1');
