-- Some thousand rows of each kind, as the prototype writes them: ids are a prefix and a UUID, amounts are of
-- its own range, and each state has been reached as its lifecycle allows it.
CREATE FUNCTION id(prefix text, number bigint) RETURNS text LANGUAGE sql AS
    $$ SELECT prefix || '_' || md5(prefix || number)::uuid $$;
CREATE FUNCTION moment(number bigint) RETURNS timestamptz LANGUAGE sql AS
    $$ SELECT '2025-03-01T09:00:00.123Z'::timestamptz + number * interval '1 minute' $$;

INSERT INTO institutions SELECT id('inst', n), 'Bank ' || n, '{EU_UK,US}', '{CONSTRUCTION,TRADE_FINANCE}', moment(n), moment(n)
    FROM generate_series(1, 4) AS n;
INSERT INTO asset_templates SELECT id('tmpl', n), id('inst', 1 + n % 4),
        (ARRAY['CONSTR_ESCROW', 'CONSTR_RETAINAGE', 'TF_INVOICE', 'TF_LC'])[1 + n % 4], 'Template ' || n,
        (ARRAY['CONSTRUCTION', 'CONSTRUCTION', 'TRADE_FINANCE', 'TRADE_FINANCE'])[1 + n % 4], 'EU_UK',
        (ARRAY['{"currency": "EUR", "region": "EU_UK", "minAmount": 0.5}', '{"currency": "EUR", "retainagePercentage": 2.5}',
            '{"currency": "EUR", "maxTenorDays": 30, "country": "DE"}',
            '{"currency": "EUR", "issuingBankCountry": "AE", "maxTenorDays": 36000}'])[1 + n % 4]::jsonb, moment(n), moment(n)
    FROM generate_series(1, 1000) AS n;
INSERT INTO assets SELECT id('ast', n), id('inst', 1 + n % 4), id('tmpl', 1 + (n - 1) % 1000), 'Asset ' || n,
        jsonb_build_object('projectCode', 'P-' || n), moment(n), moment(n)
    FROM generate_series(1, 2000) AS n;

-- The states in turn; a position that was released in part has the state before it, too.
CREATE TABLE lives (number int, path text[]);
INSERT INTO lives VALUES (0, '{CREATED}'), (1, '{CREATED,FUNDED}'), (2, '{CREATED,FUNDED,RELEASED}'), (3, '{CREATED,CANCELLED}'),
    (4, '{CREATED,FUNDED,PARTIALLY_RELEASED,RELEASED}'), (5, '{CREATED,FUNDED,EXPIRED}'), (6, '{CREATED,FUNDED,PARTIALLY_RELEASED}');
INSERT INTO positions SELECT id('pos', n), id('inst', 1 + n % 4), id('ast', 1 + (n - 1) % 2000), 'HOLDER_' || n % 300, 'EUR',
        n + (n % 100) / 100.0, path[array_length(path, 1)], CASE n % 3 WHEN 0 THEN 'INV-' || n END, moment(n), moment(n + 9)
    FROM generate_series(1, 3000) AS n JOIN lives ON number = n % 7;
INSERT INTO position_events SELECT id('ple', n * 10 + i), id('pos', n), path[i], path[i + 1], 'step ' || i, moment(n + i),
        CASE i WHEN 1 THEN '{"wire": "W-1"}'::jsonb END, moment(n + i)
    FROM generate_series(1, 3000) AS n JOIN lives ON number = n % 7, generate_series(1, array_length(path, 1) - 1) AS i;
INSERT INTO ledger_events SELECT id('led', n), 'POSITION_CREATED', id('pos', n), moment(n), NULL, 'CREATED', '{}', moment(n)
    FROM generate_series(1, 3000) AS n;
INSERT INTO ledger_events SELECT 'led_' || id, 'POSITION_STATE_CHANGED', position_id, at, from_state, to_state, '{}', at FROM position_events;
INSERT INTO api_keys SELECT id('ak', n), id('inst', 1 + n % 4), encode(sha256(id('token', n)::bytea), 'hex'), 'key ' || n,
        (ARRAY['admin', 'read_only'])[1 + n % 2], moment(n), CASE n % 5 WHEN 0 THEN moment(n + 1) END
    FROM generate_series(1, 1000) AS n;
INSERT INTO institution_policies SELECT id('pol', n), id('inst', n), 'EU_UK',
        '{"region": "EU_UK", "position": {"minAmount": 2500.25, "maxAmount": 1000000000000000, "allowedCurrencies": ["EUR", "USD"]}}',
        moment(n), moment(n)
    FROM generate_series(1, 4) AS n;
INSERT INTO audit_events SELECT id('aud', n), moment(n), moment(n), id('ak', 7), id('inst', 1 + n % 4), 'POST', '/positions',
        'POSITION_CREATED', 'position', id('pos', n), '{}'
    FROM generate_series(1, 3000) AS n;
INSERT INTO audit_events SELECT 'aud_' || id, at, at, NULL, NULL, 'POST', '/positions/x/transition', 'POSITION_TRANSITIONED', 'position',
        position_id, jsonb_build_object('fromState', from_state, 'toState', to_state, 'reason', reason) FROM position_events;
INSERT INTO onchain_pending_operations SELECT id('oc', n), id('pos', n), 'POSITION_CREATED', '{}', 1, NULL, NULL, moment(n), moment(n)
    FROM generate_series(1, 1000) AS n;
