-- The first schema. docs/architecture.md explains its shape.
--
-- Every tenant table's primary key begins with institution_id, so that the
-- schema can be sharded by tenant. Ids are UUIDv7: their order is the order of
-- creation, and lists are pages on the primary key or on an index that ends in
-- it.

-- +goose Up
CREATE TABLE institutions (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    regions    text NOT NULL, -- JSON array
    verticals  text NOT NULL, -- JSON array
    created_at timestamptz NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    closed_at  timestamptz
);

-- The end of each journal. A group locks its institutions' rows here, in order
-- of id, which makes each institution's writes serial over all servers. The row
-- of the zero id is the operator's: it serialises the making of institutions.
-- The fill factor leaves room for the row's next version on its own page.
CREATE TABLE journal_heads (
    institution_id uuid PRIMARY KEY,
    sequence       bigint NOT NULL CHECK (sequence >= 0),
    last_at        timestamptz NOT NULL,
    -- An entry that was acknowledged and is no longer there; 0 where none is known.
    lost_sequence  bigint NOT NULL DEFAULT 0 CHECK (lost_sequence >= 0),
    -- The entry that closed the institution; 0 while it is open.
    closed_sequence bigint NOT NULL DEFAULT 0 CHECK (closed_sequence >= 0)
) WITH (fillfactor = 10);

CREATE INDEX journal_heads_lost ON journal_heads (institution_id) WHERE lost_sequence > 0;

INSERT INTO journal_heads VALUES ('00000000-0000-0000-0000-000000000000', 0, '1970-01-01Z');

-- body holds the entry in the exact bytes that are hashed. private holds the secret and the
-- private values that the body has commitments to; it can become NULL, and nothing else can
-- change. The other columns repeat parts of the body for the indexes.
CREATE TABLE journal_entries (
    institution_id uuid   NOT NULL,
    sequence       bigint NOT NULL CHECK (sequence > 0),
    at             timestamptz NOT NULL,
    actor          text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    subject        text COLLATE "C" NOT NULL,
    body           bytea  NOT NULL,
    private        bytea
);

CREATE INDEX journal_entries_subject ON journal_entries (institution_id, subject, sequence);
CREATE INDEX journal_entries_actor ON journal_entries (institution_id, actor, sequence);
-- Nearly all entries are of the two kinds left out here: a page of those is found
-- on the primary key as fast.
CREATE INDEX journal_entries_kind ON journal_entries (institution_id, kind, sequence)
    WHERE kind NOT IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED');
-- Made last, here and below: statements are planned once, and on tables that are
-- still empty the planner takes the newest of several indexes that could serve.
ALTER TABLE journal_entries ADD PRIMARY KEY (institution_id, sequence);

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER journal_entries_append_only
    BEFORE DELETE OR TRUNCATE ON journal_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose StatementBegin
CREATE FUNCTION allow_erasure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    OLD.private := NULL;
    IF NEW *<> OLD THEN
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER journal_entries_erasure
    BEFORE UPDATE ON journal_entries
    FOR EACH ROW EXECUTE FUNCTION allow_erasure();

CREATE TABLE api_keys (
    institution_id uuid NOT NULL REFERENCES institutions,
    id             uuid NOT NULL,
    label          text NOT NULL,
    role           text NOT NULL CHECK (role IN ('admin', 'read_only')),
    hash           bytea NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the secret
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    rotated_to     uuid, -- the key that takes its place
    version        bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (institution_id, id)
);

-- Not unique: a unique index without institution_id cannot be sharded, and two
-- secrets of 256 random bits do not meet.
CREATE INDEX api_keys_hash ON api_keys (hash);

-- An institution's active keys are listed, and counted with each new one.
CREATE INDEX api_keys_active ON api_keys (institution_id, id) WHERE revoked_at IS NULL;

CREATE TABLE policies (
    institution_id     uuid NOT NULL REFERENCES institutions,
    region             text COLLATE "C" NOT NULL,
    min_amount         text, -- decimal numbers in units of any currency
    max_amount         text,
    allowed_currencies text NOT NULL, -- JSON array; empty allows all
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    PRIMARY KEY (institution_id, region)
);

CREATE TABLE asset_templates (
    institution_id uuid NOT NULL REFERENCES institutions,
    id             uuid NOT NULL,
    code           text NOT NULL,
    name           text NOT NULL,
    vertical       text NOT NULL,
    region         text NOT NULL,
    config         text NOT NULL, -- JSON object
    created_at     timestamptz NOT NULL,
    version        bigint NOT NULL CHECK (version > 0),
    closed_at      timestamptz,
    PRIMARY KEY (institution_id, id)
);

CREATE TABLE assets (
    institution_id uuid NOT NULL,
    id             uuid NOT NULL,
    template_id    uuid NOT NULL,
    label          text NOT NULL,
    metadata       bytea, -- JSON object as the client wrote it
    created_at     timestamptz NOT NULL,
    version        bigint NOT NULL CHECK (version > 0),
    closed_at      timestamptz,
    FOREIGN KEY (institution_id, template_id) REFERENCES asset_templates
);

CREATE INDEX assets_template ON assets (institution_id, template_id, id);
ALTER TABLE assets ADD PRIMARY KEY (institution_id, id);

-- The asset is no foreign key: it was read under the lock of the journal in the
-- same transaction, assets are never deleted, and the check would cost a lookup
-- and a row lock with each insert.
CREATE TABLE positions (
    institution_id     uuid NOT NULL,
    id                 uuid NOT NULL,
    asset_id           uuid NOT NULL,
    holder_reference   text COLLATE "C", -- this, the next and the metadata are NULL once they were erased
    external_reference text COLLATE "C",
    unique_in          uuid, -- the template in which no other position has the external reference
    currency           text COLLATE "C" NOT NULL CHECK (length(currency) = 3),
    decimals           bigint NOT NULL CHECK (decimals BETWEEN 0 AND 4), -- of the amounts
    amount             bigint NOT NULL, -- all amounts in minor units
    funded             bigint NOT NULL,
    released           bigint NOT NULL,
    refunded           bigint NOT NULL,
    held               bigint NOT NULL,
    retained           bigint NOT NULL,
    state              text COLLATE "C" NOT NULL,
    version            bigint NOT NULL CHECK (version > 0),
    -- The bytes of metadata and reasons in its events.
    history_bytes      bigint NOT NULL CHECK (history_bytes >= 0),
    expires_at         timestamptz,
    metadata           bytea,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
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
);

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
ALTER TABLE positions ADD PRIMARY KEY (institution_id, id);

-- What became of the positions of one holder whose data were to be erased; not whose.
CREATE TABLE erasures (
    institution_id uuid NOT NULL,
    id             uuid NOT NULL,
    erased         bigint NOT NULL CHECK (erased >= 0),
    open           bigint NOT NULL CHECK (open >= 0),
    retained       bigint NOT NULL CHECK (retained >= 0),
    retained_until timestamptz,
    complete       bigint NOT NULL CHECK (complete IN (0, 1)),
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (institution_id, id)
);

-- The outcome of the first request under an idempotency key: a subject of the
-- journal and the sequence at which it is the answer, or a refusal.
CREATE TABLE idempotency_records (
    institution_id uuid NOT NULL,
    key            text COLLATE "C" NOT NULL,
    fingerprint    bytea NOT NULL,
    subject        text NOT NULL,
    sequence       bigint NOT NULL,
    refusal        text, -- JSON
    nonce          bytea,
    request_id     text NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (institution_id, key)
);

CREATE INDEX idempotency_records_created ON idempotency_records (created_at);

-- The bounded log of refused attempts that concern security, those of a minute that are
-- alike counted in one row. Not part of any journal: nothing happened.
CREATE TABLE security_events (
    id             uuid PRIMARY KEY,
    at             timestamptz NOT NULL,
    institution_id uuid NOT NULL, -- zero where it is not known
    actor          text NOT NULL,
    code           text NOT NULL,
    method         text NOT NULL,
    path           text NOT NULL,
    client         text NOT NULL,
    request_id     text NOT NULL,
    last_at        timestamptz NOT NULL,
    count          bigint NOT NULL CHECK (count > 0)
);

-- A row is here for as long as another database is being copied into this one, which nobody
-- may serve until then.
CREATE TABLE unfinished_copies (
    source   text COLLATE "C" PRIMARY KEY, -- without a password
    begun_at timestamptz NOT NULL
);
