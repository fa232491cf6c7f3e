-- Four eyes: the rules that say which commands take an approval, what waits for one and what became
-- of it, and what was moved of late.

-- +goose Up
ALTER TABLE journal_heads
    -- The entry that set the approval rules in force; 0 where there are none.
    ADD COLUMN rules_sequence bigint NOT NULL DEFAULT 0 CHECK (rules_sequence >= 0),
    ADD COLUMN pending_approvals bigint NOT NULL DEFAULT 0 CHECK (pending_approvals >= 0);

ALTER TABLE api_keys
    ADD COLUMN created_by text, -- an actor; NULL of a key that is older than this column
    ADD COLUMN origin uuid; -- the first of the keys that it was rotated from

-- How many approvals an erasure of a holder's data has erased, and kept.
ALTER TABLE erasures
    ADD COLUMN approvals_erased bigint NOT NULL DEFAULT 0 CHECK (approvals_erased >= 0),
    ADD COLUMN approvals_pending bigint NOT NULL DEFAULT 0 CHECK (approvals_pending >= 0),
    ADD COLUMN approvals_retained bigint NOT NULL DEFAULT 0 CHECK (approvals_retained >= 0);

CREATE TABLE approval_rules (
    institution_id uuid PRIMARY KEY REFERENCES institutions,
    rules          text NOT NULL, -- JSON array, in the order in which they are looked through
    version        bigint NOT NULL CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);

CREATE TABLE approvals (
    institution_id uuid NOT NULL REFERENCES institutions,
    id             uuid NOT NULL,
    entry_subject  text COLLATE "C" NOT NULL, -- the id as the journal has it
    status         text COLLATE "C" NOT NULL,
    maker          text NOT NULL, -- an actor
    request        bytea NOT NULL, -- the event of its first entry, byte for byte
    private        bytea, -- what stands beside that entry; NULL where nothing does, or it was erased
    given          text, -- JSON array; NULL where nobody has approved
    executed       bigint NOT NULL CHECK (executed >= 0), -- the first entry of the command, once it was carried out
    entries        bigint NOT NULL CHECK (entries >= 0),
    refusal        text, -- JSON object, of one that failed
    erased_at      timestamptz, -- when what was private of it was erased by itself, and not with a position
    erasure_reason bigint NOT NULL CHECK (erasure_reason IN (0, 1)), -- whether the reason of that is there
    expires_at     timestamptz NOT NULL,
    version        bigint NOT NULL CHECK (version > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CHECK ((status = 'EXECUTED') = (executed > 0)),
    CHECK ((status = 'FAILED') = (refusal IS NOT NULL)),
    CHECK (erased_at IS NULL OR status <> 'PENDING'),
    CHECK (erasure_reason = 0 OR erased_at IS NOT NULL)
);

CREATE INDEX approvals_status ON approvals (institution_id, status, id);
-- Those that wait for too long expire; they are counted, and the oldest is looked for, too.
CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'PENDING';
CREATE INDEX approvals_oldest ON approvals (created_at) WHERE status = 'PENDING';
-- An erasure finds the approval that a position was created with.
CREATE INDEX approvals_executed ON approvals (institution_id, executed) WHERE executed > 0;
ALTER TABLE approvals ADD PRIMARY KEY (institution_id, id);

-- What approvals are about: what was there when they were asked for, and positions that are to be created.
CREATE TABLE approval_subjects (
    institution_id uuid NOT NULL,
    approval_id    uuid NOT NULL,
    number         bigint NOT NULL CHECK (number >= 0), -- counts those of an approval
    subject        text COLLATE "C", -- NULL of a position that is to be created
    permission     text NOT NULL,
    currency       text, -- NULL where nothing is to be moved
    decimals       bigint NOT NULL CHECK (decimals BETWEEN 0 AND 4),
    amount         bigint NOT NULL CHECK (amount >= 0), -- in minor units
    holds          bigint NOT NULL CHECK (holds IN (0, 1)), -- whether it is taken from what a position holds
    holder_reference text COLLATE "C", -- of a position that is to be created, until that is erased; NULL of all else
    CHECK ((currency IS NULL) = (amount = 0))
);

CREATE INDEX approval_subjects_subject ON approval_subjects (institution_id, subject, approval_id, number)
    WHERE subject IS NOT NULL;
-- What is held about a holder, and is erased, of approvals that have created nothing.
CREATE INDEX approval_subjects_holder ON approval_subjects (institution_id, holder_reference, approval_id, number)
    WHERE holder_reference IS NOT NULL;
ALTER TABLE approval_subjects ADD PRIMARY KEY (institution_id, approval_id, number);

-- Whatever erases what is private of an approval erases who the holders are with it.
-- +goose StatementBegin
CREATE FUNCTION erase_holders() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE approval_subjects SET holder_reference = NULL
    WHERE institution_id = NEW.institution_id AND approval_id = NEW.id AND holder_reference IS NOT NULL;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER approvals_erasure
    AFTER UPDATE OF private ON approvals
    FOR EACH ROW WHEN (OLD.private IS NOT NULL AND NEW.private IS NULL) EXECUTE FUNCTION erase_holders();

-- What was moved within the last days, by the hour, while a rule has a window.
CREATE TABLE recent_moves (
    institution_id uuid NOT NULL REFERENCES institutions,
    of_actor       text COLLATE "C" NOT NULL, -- or all of the institution
    hours          text NOT NULL, -- JSON array
    PRIMARY KEY (institution_id, of_actor)
);

INSERT INTO duty_leases VALUES (6, 0, '1970-01-01Z'); -- expiry of approvals
