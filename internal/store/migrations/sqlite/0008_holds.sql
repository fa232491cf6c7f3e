-- Holds: what keeps the money of a position where it is.

-- +goose Up
-- The holds in force on a position, those of them that are on all that it holds, and what the others are on together.
ALTER TABLE positions ADD COLUMN holds integer NOT NULL DEFAULT 0;
ALTER TABLE positions ADD COLUMN whole_holds integer NOT NULL DEFAULT 0;
ALTER TABLE positions ADD COLUMN held_back integer NOT NULL DEFAULT 0
    CONSTRAINT positions_holds CHECK (
        held_back >= 0 AND held_back <= held AND whole_holds >= 0 AND whole_holds <= holds
        AND (holds > whole_holds) = (held_back > 0));

-- What is on hold does not expire, and is not looked at again and again.
DROP INDEX positions_due;
CREATE INDEX positions_due ON positions (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('CREATED', 'FUNDED', 'PARTIALLY_RELEASED') AND holds = 0;

-- How many positions an erasure of a holder's data has kept because they are under a legal hold.
ALTER TABLE erasures ADD COLUMN on_hold integer NOT NULL DEFAULT 0 CHECK (on_hold >= 0);

-- Why a hold was placed and lifted, and by whom, its entries tell.
CREATE TABLE holds (
    institution_id blob NOT NULL,
    id             blob NOT NULL,
    position_id    blob NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('LEGAL', 'COMPLIANCE')),
    currency       text, -- NULL of a hold on all that the position holds
    decimals       integer NOT NULL CHECK (decimals BETWEEN 0 AND 4),
    amount         integer NOT NULL CHECK (amount >= 0), -- in minor units
    review_at      integer,
    placed         integer NOT NULL CHECK (placed > 0), -- the sequences of its entries
    lifted         integer NOT NULL CHECK (lifted = 0 OR lifted > placed), -- 0 while it is in force
    created_at     integer NOT NULL,
    lifted_at      integer,
    PRIMARY KEY (institution_id, id),
    CHECK ((currency IS NULL) = (amount = 0)),
    CHECK ((lifted_at IS NULL) = (lifted = 0))
) STRICT, WITHOUT ROWID;

CREATE INDEX holds_position ON holds (institution_id, position_id, id);
CREATE INDEX holds_in_force ON holds (institution_id, id) WHERE lifted = 0;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('holds', 'holds', '100000 100 1'),
    ('holds', 'holds_position', '100000 100 2 1'),
    ('holds', 'holds_in_force', '10000 10 1');
