-- What the prototype takes and EscrowGrid does not, or not as it is.
INSERT INTO institutions VALUES ('inst_a', 'Bank', '{US,US}', '{CONSTRUCTION}', now(), now()),
    ('inst_b', E'two\nlines', '{US}', '{}', now(), now()), ('inst_c', 'No verticals', '{US}', '{}', now(), now());
INSERT INTO asset_templates VALUES
    ('tmpl_ok', 'inst_a', 'CONSTR_ESCROW', 'Escrow', 'CONSTRUCTION', 'US',
        '{"currency": "usd", "region": "US", "minAmount": 0, "onchain": {"enabled": true}, "uniqueExternalReference": true}', now(), now()),
    ('tmpl_jpy', 'inst_a', 'CONSTR_ESCROW', 'Yen', 'CONSTRUCTION', 'US', '{"currency": "JPY", "region": "US"}', now(), now()),
    ('tmpl_code', 'inst_a', 'CONSTR_ESCROW_ONCHAIN', 'Chain', 'CONSTRUCTION', 'US', '{"currency": "USD"}', now(), now()),
    ('tmpl_country', 'inst_a', 'TF_INVOICE', 'Invoices', 'TRADE_FINANCE', 'EU_UK',
        '{"currency": "EUR", "maxTenorDays": 30, "country": "Germany"}', now(), now()),
    ('tmpl_tf', 'inst_a', 'TF_INVOICE', 'Invoices', 'TRADE_FINANCE', 'US',
        '{"currency": "EUR", "maxTenorDays": 30, "country": "DE"}', now(), now()),
    ('tmpl_b', 'inst_b', 'CONSTR_ESCROW', 'Escrow', 'CONSTRUCTION', 'US', '{"currency": "USD", "region": "US"}', now(), now());
INSERT INTO assets VALUES ('ast_ok', 'inst_a', 'tmpl_ok', 'A', '{"x": 1.50, "prototype": "taken"}', '2025-03-01', '2025-03-02'),
    ('ast_jpy', 'inst_a', 'tmpl_jpy', 'J', '{}', '2025-03-01', '2025-03-02'), ('ast_tf', 'inst_a', 'tmpl_tf', 'T', '{"x": [1]}', '2025-03-01', '2025-03-02'),
    ('ast_code', 'inst_a', 'tmpl_code', 'C', '{}', '2025-03-01', '2025-03-02'),
    ('ast_big', 'inst_a', 'tmpl_ok', 'B', jsonb_build_object('x', repeat('x', 65000)), '2025-03-01', '2025-03-02'),
    ('ast_huge', 'inst_a', 'tmpl_ok', 'H', jsonb_build_object('x', repeat('x', 65500)), '2025-03-01', '2025-03-02');
INSERT INTO positions
    SELECT id, 'inst_a', asset, holder, currency, amount, state, reference, coalesce(made, '2025-03-01T09:00:00.123Z'), '2025-03-02'
    FROM (VALUES
        ('pos_cents', 'ast_ok', 'H', 'USD', 10.005, 'CREATED', NULL, NULL::timestamptz),
        ('pos_yen', 'ast_jpy', 'H', 'JPY', 10.5, 'CREATED', NULL, NULL),
        ('pos_zero', 'ast_ok', 'H', 'USD', 0, 'CREATED', NULL, NULL),
        ('pos_third', 'ast_ok', 'H', 'USD', 0.3, 'CREATED', 'INV-1', NULL),
        ('pos_most', 'ast_ok', 'H', 'USD', 1000000000000000, 'CREATED', NULL, NULL),
        ('pos_currency', 'ast_ok', 'H', 'EUR', 1, 'CREATED', NULL, NULL),
        ('pos_asset', 'ast_code', 'H', 'USD', 1, 'CREATED', NULL, NULL),
        ('pos_holder', 'ast_ok', E'a\nb', 'USD', 1, 'CREATED', NULL, NULL),
        ('pos_broken', 'ast_ok', 'H', 'USD', 1, 'FUNDED', NULL, NULL),
        ('pos_gap', 'ast_ok', 'H', 'USD', 1, 'RELEASED', NULL, NULL),
        ('pos_part', 'ast_ok', 'H', 'USD', 10, 'PARTIALLY_RELEASED', NULL, NULL),
        ('pos_done', 'ast_ok', 'H', 'USD', 10, 'RELEASED', NULL, NULL),
        ('pos_cancelled', 'ast_ok', 'H', 'USD', 10, 'CANCELLED', NULL, NULL),
        ('pos_much', 'ast_ok', 'H', 'USD', 10, 'PARTIALLY_RELEASED', NULL, NULL),
        ('pos_over', 'ast_tf', 'H', 'EUR', 10, 'FUNDED', NULL, NULL),
        ('pos_due', 'ast_tf', 'H', 'EUR', 10, 'CREATED', NULL, date_trunc('day', now()))
    ) AS p (id, asset, holder, currency, amount, state, reference, made);
INSERT INTO position_events
    SELECT replace(position, 'pos_', 'ple_') || n, position, from_state, to_state, reason, '2025-04-01T09:00:00.5Z'::timestamptz + n * interval '1 day',
        metadata::jsonb, now()
    FROM (VALUES
        ('pos_gap', 1, 'FUNDED', 'RELEASED', NULL, NULL),
        ('pos_part', 1, 'CREATED', 'FUNDED', NULL, NULL), ('pos_part', 2, 'FUNDED', 'PARTIALLY_RELEASED', NULL, NULL),
        ('pos_done', 1, 'CREATED', 'FUNDED', E'first\nsecond', '{"prototype": 1, "wire": "W"}'), ('pos_done', 2, 'FUNDED', 'PARTIALLY_RELEASED', '', NULL),
        ('pos_done', 3, 'PARTIALLY_RELEASED', 'RELEASED', 'all', '{"wire": 2.50}'),
        ('pos_cancelled', 1, 'CREATED', 'FUNDED', NULL, NULL), ('pos_cancelled', 2, 'FUNDED', 'PARTIALLY_RELEASED', NULL, NULL),
        ('pos_cancelled', 3, 'PARTIALLY_RELEASED', 'CANCELLED', NULL, NULL),
        ('pos_much', 1, 'CREATED', 'FUNDED', NULL, NULL), ('pos_much', 2, 'FUNDED', 'PARTIALLY_RELEASED', NULL, NULL),
        ('pos_over', 1, 'CREATED', 'FUNDED', NULL, NULL)
    ) AS e (position, n, from_state, to_state, reason, metadata);
INSERT INTO ledger_events VALUES ('led_alone', 'POSITION_STATE_CHANGED', 'pos_third', now(), 'CREATED', 'FUNDED', '{}', now()),
    ('led_left', 'POSITION_CREATED', 'pos_zero', now(), NULL, 'CREATED', '{}', now()),
    ('led_told', 'POSITION_STATE_CHANGED', 'pos_over', now(), 'CREATED', 'FUNDED', '{}', now());
INSERT INTO api_keys VALUES ('ak_live', 'inst_a', 'h1', 'ops', 'admin', now(), NULL), ('ak_gone', 'inst_a', 'h2', 'old', 'admin', now(), now()),
    ('ak_b', 'inst_b', 'h3', 'b', 'read_only', now(), NULL);
INSERT INTO institution_policies VALUES ('pol_sg', 'inst_a', 'SG', '{"position": {"minAmount": 100.25}}', now(), now()),
    ('pol_us', 'inst_a', 'US', '{"position": {"allowedCurrencies": []}}', now(), now()),
    ('pol_uae', 'inst_a', 'UAE', '{"position": {"minAmount": 0.00001}}', now(), now());
INSERT INTO audit_events VALUES ('aud_1', now(), now(), 'ak_live', 'inst_a', 'POST', '/', 'POSITION_TRANSITIONED', 'position', 'pos_done', '{"toState": "FUNDED"}');
