-- Creates and funds a position, as written by hand: seven statements in two
-- transactions.
BEGIN;
INSERT INTO positions (institution_id, asset_id, holder_reference, currency, amount)
VALUES ('019353a5-0001-7000-8000-000000000001', '019353a5-0002-7000-8000-000000000002', 'ACME-4711', 'USD', 100000)
RETURNING id AS position \gset
INSERT INTO ledger_events (position_id, kind, body) VALUES (:position, 'POSITION_CREATED', repeat('x', 400));
INSERT INTO audit_events (subject, actor) VALUES (:position, 'key_01jd8m3q5yf7wbt0x4a2k9r6ce');
COMMIT;
BEGIN;
SELECT state FROM positions WHERE id = :position FOR UPDATE;
UPDATE positions SET state = 'FUNDED', held = amount, updated_at = now() WHERE id = :position;
INSERT INTO ledger_events (position_id, kind, body) VALUES (:position, 'POSITION_STATE_CHANGED', repeat('x', 400));
INSERT INTO audit_events (subject, actor) VALUES (:position, 'key_01jd8m3q5yf7wbt0x4a2k9r6ce');
COMMIT;
