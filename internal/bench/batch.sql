-- A batch of 200 positions and their entries, written with one statement per table to
-- the server's own tables.
BEGIN;
INSERT INTO positions (institution_id, id, asset_id, holder_reference, currency, decimals, amount, funded, released, refunded, held, retained,
	state, version, history_bytes, created_at, updated_at)
SELECT '019353a5-0001-7000-8000-000000000001', ('0193' || lpad(to_hex(nextval('floor_ids')), 28, '0'))::uuid,
	'019353a5-0002-7000-8000-000000000002', 'ACME-4711', 'USD', 2, 100000, 0, 0, 0, 0, 0, 'CREATED', 1, 0, now(), now()
FROM generate_series(1, 200);
INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body)
SELECT '019353a5-0001-7000-8000-000000000001', s, now(), 'key_01jd8m3q5yf7wbt0x4a2k9r6ce', 'POSITION_CREATED',
	'pos_' || lpad(to_hex(s), 26, '0'), convert_to(repeat('x', 480), 'UTF8')
FROM (SELECT nextval('floor_sequence') AS s FROM generate_series(1, 200)) AS numbers;
COMMIT;
