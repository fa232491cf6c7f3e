-- Four eyes: the rules that say which commands take an approval, what waits for one and what became
-- of it, and what was moved of late.

-- +goose Up
-- The entry that set the approval rules in force; 0 where there are none.
ALTER TABLE journal_heads ADD COLUMN rules_sequence integer NOT NULL DEFAULT 0 CHECK (rules_sequence >= 0);
ALTER TABLE journal_heads ADD COLUMN pending_approvals integer NOT NULL DEFAULT 0 CHECK (pending_approvals >= 0);

-- An actor, NULL of a key that is older than this column; and the first of the keys that it was
-- rotated from.
ALTER TABLE api_keys ADD COLUMN created_by text;
ALTER TABLE api_keys ADD COLUMN origin blob;

-- How many approvals an erasure of a holder's data has erased, and kept.
ALTER TABLE erasures ADD COLUMN approvals_erased integer NOT NULL DEFAULT 0 CHECK (approvals_erased >= 0);
ALTER TABLE erasures ADD COLUMN approvals_pending integer NOT NULL DEFAULT 0 CHECK (approvals_pending >= 0);
ALTER TABLE erasures ADD COLUMN approvals_retained integer NOT NULL DEFAULT 0 CHECK (approvals_retained >= 0);

CREATE TABLE approval_rules (
    institution_id blob PRIMARY KEY REFERENCES institutions,
    rules          text NOT NULL, -- JSON array, in the order in which they are looked through
    version        integer NOT NULL CHECK (version > 0),
    created_at     integer NOT NULL,
    updated_at     integer NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    institution_id blob NOT NULL REFERENCES institutions,
    id             blob NOT NULL,
    entry_subject  text NOT NULL, -- the id as the journal has it
    status         text NOT NULL,
    maker          text NOT NULL, -- an actor
    request        blob NOT NULL, -- the event of its first entry, byte for byte
    private        blob, -- what stands beside that entry; NULL where nothing does, or it was erased
    given          text, -- JSON array; NULL where nobody has approved
    executed       integer NOT NULL CHECK (executed >= 0), -- the first entry of the command, once it was carried out
    entries        integer NOT NULL CHECK (entries >= 0),
    refusal        text, -- JSON object, of one that failed
    erased_at      integer, -- when what was private of it was erased by itself, and not with a position
    erasure_reason integer NOT NULL CHECK (erasure_reason IN (0, 1)), -- whether the reason of that is there
    expires_at     integer NOT NULL,
    version        integer NOT NULL CHECK (version > 0),
    created_at     integer NOT NULL,
    updated_at     integer NOT NULL,
    PRIMARY KEY (institution_id, id),
    CHECK ((status = 'EXECUTED') = (executed > 0)),
    CHECK ((status = 'FAILED') = (refusal IS NOT NULL)),
    CHECK (erased_at IS NULL OR status <> 'PENDING'),
    CHECK (erasure_reason = 0 OR erased_at IS NOT NULL)
) STRICT;

CREATE INDEX approvals_status ON approvals (institution_id, status, id);
-- Those that wait for too long expire; they are counted, and the oldest is looked for, too.
CREATE INDEX approvals_due ON approvals (expires_at) WHERE status = 'PENDING';
CREATE INDEX approvals_oldest ON approvals (created_at) WHERE status = 'PENDING';
-- An erasure finds the approval that a position was created with.
CREATE INDEX approvals_executed ON approvals (institution_id, executed) WHERE executed > 0;

-- What approvals are about: what was there when they were asked for, and positions that are to be created.
CREATE TABLE approval_subjects (
    institution_id blob NOT NULL,
    approval_id    blob NOT NULL,
    number         integer NOT NULL CHECK (number >= 0), -- counts those of an approval
    subject        text, -- NULL of a position that is to be created
    permission     text NOT NULL,
    currency       text, -- NULL where nothing is to be moved
    decimals       integer NOT NULL CHECK (decimals BETWEEN 0 AND 4),
    amount         integer NOT NULL CHECK (amount >= 0), -- in minor units
    holds          integer NOT NULL CHECK (holds IN (0, 1)), -- whether it is taken from what a position holds
    holder_reference text, -- of a position that is to be created, until that is erased; NULL of all else
    PRIMARY KEY (institution_id, approval_id, number),
    CHECK ((currency IS NULL) = (amount = 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX approval_subjects_subject ON approval_subjects (institution_id, subject, approval_id, number)
    WHERE subject IS NOT NULL;
-- What is held about a holder, and is erased, of approvals that have created nothing.
CREATE INDEX approval_subjects_holder ON approval_subjects (institution_id, holder_reference, approval_id, number)
    WHERE holder_reference IS NOT NULL;

-- Whatever erases what is private of an approval erases who the holders are with it.
-- +goose StatementBegin
CREATE TRIGGER approvals_erasure AFTER UPDATE OF private ON approvals
WHEN OLD.private IS NOT NULL AND NEW.private IS NULL
BEGIN
    UPDATE approval_subjects SET holder_reference = NULL
    WHERE institution_id = NEW.institution_id AND approval_id = NEW.id AND holder_reference IS NOT NULL;
END;
-- +goose StatementEnd

-- What was moved within the last days, by the hour, while a rule has a window.
CREATE TABLE recent_moves (
    institution_id blob NOT NULL REFERENCES institutions,
    of_actor       text NOT NULL, -- or all of the institution
    hours          text NOT NULL, -- JSON array
    PRIMARY KEY (institution_id, of_actor)
) STRICT, WITHOUT ROWID;

INSERT INTO duty_leases VALUES (6, 0, 0);

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('approval_rules', 'approval_rules', '1000 1'),
    ('approvals', 'sqlite_autoindex_approvals_1', '100000 100 1'),
    ('approvals', 'approvals_status', '100000 100 20 1'),
    ('approvals', 'approvals_due', '1000 1'),
    ('approvals', 'approvals_oldest', '1000 1'),
    ('approvals', 'approvals_executed', '90000 90 1'),
    ('approval_subjects', 'approval_subjects', '100000 100 1 1'),
    ('approval_subjects', 'approval_subjects_subject', '100000 100 2 1 1'),
    ('approval_subjects', 'approval_subjects_holder', '10000 100 2 1 1'),
    ('recent_moves', 'recent_moves', '10000 10 1');
