-- Who does the background work that one process at a time does. An SQLite file has one
-- process, which asks nobody: the table is here because it is on PostgreSQL.

-- +goose Up
CREATE TABLE duty_leases (
    duty    integer PRIMARY KEY,
    fence   integer NOT NULL CHECK (fence >= 0),
    ends_at integer NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO duty_leases VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0);
