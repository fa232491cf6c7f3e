-- Who does the background work that one process at a time does.

-- +goose Up
-- A process has a duty until ends_at, by the clock of the database. The fence grows with
-- each lease: what a process writes for a duty commits only under the fence that it was
-- given. A process takes a duty by changing its row, so all rows are there from the start.
-- The fill factor leaves room for a row's next version on its own page.
CREATE TABLE duty_leases (
    duty    bigint PRIMARY KEY,
    fence   bigint NOT NULL CHECK (fence >= 0),
    ends_at timestamptz NOT NULL
) WITH (fillfactor = 10);

INSERT INTO duty_leases VALUES
    (1, 0, '1970-01-01Z'), -- expiry
    (2, 0, '1970-01-01Z'), -- purge
    (3, 0, '1970-01-01Z'), -- checkpoints
    (4, 0, '1970-01-01Z'); -- verification
