-- The record of a batch also tells which of its items were accepted: those are the
-- last entries up to the sequence. NULL is the record of a single command.

-- +goose Up
ALTER TABLE idempotency_records ADD COLUMN items text; -- JSON
