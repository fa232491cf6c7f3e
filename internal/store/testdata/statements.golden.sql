-- Every statement that the store issues, each with the calls that issue it. Lists stand here without
-- a filter, and with each by itself; conditions of several are joined by AND. On PostgreSQL, a list of rows that can
-- be large stands within a query that ends it where a page has enough bytes. Written by
--
--     go test ./internal/store -run TestStatements -update
--
-- In psql, EXPLAIN (GENERIC_PLAN) before a statement shows its plan, and \bind with values behind it,
-- in the place of the semicolon, runs it. SQLite is given ?1 for $1.

-- Begin on SQLite
BEGIN IMMEDIATE;

-- Begin or Commit on PostgreSQL
BEGIN ISOLATION LEVEL READ COMMITTED;

-- Begin on SQLite, journal_heads; Head; FirstSequence, and lists of entries in a period; Positions, by their last steps; Positions, by their last steps, the last ones first; Entries, of a period
SELECT institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence, pending_approvals
    FROM journal_heads
    WHERE institution_id = $1;

-- Begin or Commit on PostgreSQL, journal_heads
SELECT institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence, pending_approvals
    FROM journal_heads
    WHERE institution_id = ANY ($1::uuid[])
    ORDER BY institution_id FOR UPDATE;

-- Begin on SQLite, institutions; Institution; BookTables, rows of institutions; BookTables, rows of institutions after a cursor
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    WHERE id = $1;

-- Begin on PostgreSQL, institutions
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    WHERE id = ANY ($1::uuid[]);

-- Begin on SQLite, api_keys; Key
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND id = $2;

-- Begin on SQLite, api_keys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > (SELECT last_at FROM journal_heads WHERE journal_heads.institution_id = api_keys.institution_id));

-- Begin on PostgreSQL, api_keys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM unnest($1::uuid[]) AS n (institution_id)
    JOIN api_keys USING (institution_id)
    WHERE TRUE AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > (SELECT last_at FROM journal_heads WHERE journal_heads.institution_id = api_keys.institution_id));

-- Begin on PostgreSQL, api_keys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN api_keys USING (institution_id, id);

-- Begin on SQLite, identity_providers; IdentityProvider; BookTables, rows of identity_providers; BookTables, rows of identity_providers after a cursor
SELECT institution_id, issuer, client_id, has_secret, secret_number, audience, claims, role_by_group,
        version, created_at, updated_at, removed_at
    FROM identity_providers
    WHERE institution_id = $1;

-- Begin on PostgreSQL, identity_providers
SELECT institution_id, issuer, client_id, has_secret, secret_number, audience, claims, role_by_group,
        version, created_at, updated_at, removed_at
    FROM identity_providers
    WHERE institution_id = ANY ($1::uuid[]);

-- Begin on SQLite, users; User
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND id = $2;

-- Begin on SQLite, users; UserByIdentity
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND issuer = $2 AND subject = $3;

-- Begin on PostgreSQL, users
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (institution_id, issuer, subject)
    JOIN users USING (institution_id, issuer, subject);

-- Begin on PostgreSQL, users
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN users USING (institution_id, id);

-- Begin on SQLite, roles; Roles and Role; BookTables, rows of roles; BookTables, rows of roles after a cursor
SELECT institution_id, name, permissions, version, created_at, updated_at
    FROM roles
    WHERE institution_id = $1;

-- Begin on PostgreSQL, roles
SELECT institution_id, name, permissions, version, created_at, updated_at
    FROM roles
    WHERE institution_id = ANY ($1::uuid[]);

-- Begin on SQLite, policies; BookTables, rows of policies; BookTables, rows of policies after a cursor
SELECT institution_id, region, min_amount, max_amount, allowed_currencies, created_at, updated_at
    FROM policies
    WHERE institution_id = $1;

-- Begin on PostgreSQL, policies
SELECT institution_id, region, min_amount, max_amount, allowed_currencies, created_at, updated_at
    FROM policies
    WHERE institution_id = ANY ($1::uuid[]);

-- Begin on SQLite, asset_templates; Template
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id = $2;

-- Begin on PostgreSQL, asset_templates
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN asset_templates USING (institution_id, id);

-- Begin on SQLite, assets; Asset
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id = $2;

-- Begin on SQLite, assets
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id = (SELECT template_id FROM assets WHERE institution_id = $1 AND id = $2);

-- Begin on PostgreSQL, assets
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN assets USING (institution_id, id);

-- Begin on PostgreSQL, assets
SELECT t.institution_id, t.id, t.code, t.name, t.vertical, t.region, t.config, t.created_at, t.version,
        t.closed_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN assets AS a ON a.institution_id = n.institution_id AND a.id = n.id
    JOIN asset_templates AS t ON t.institution_id = a.institution_id AND t.id = a.template_id;

-- Begin on SQLite, positions; Position
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND id = $2;

-- Begin on SQLite, positions
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND state IN ('FUNDED', 'PARTIALLY_RELEASED') LIMIT 1;

-- Begin on PostgreSQL, positions
SELECT p.*
    FROM unnest($1::uuid[]) AS n (institution_id) CROSS
    JOIN LATERAL (SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference,
        external_reference, unique_in, currency, decimals, amount, funded, released, refunded, held, holds,
        whole_holds, held_back, retained, expires_at, metadata, created_at,
        updated_at FROM positions WHERE institution_id = n.institution_id AND state IN ('FUNDED',
        'PARTIALLY_RELEASED') LIMIT 1) AS p;

-- Begin on PostgreSQL, positions
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN positions USING (institution_id, id);

-- Begin on SQLite, holds; Hold
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND id = $2;

-- Begin on SQLite, holds; HoldsOn, for each position
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND position_id = $2 AND (lifted = 0) IS TRUE;

-- Begin on PostgreSQL, holds; HoldsOn on PostgreSQL
SELECT h.institution_id, h.id, h.lifted, h.position_id, h.kind, h.currency, h.decimals, h.amount,
        h.review_at, h.placed, h.created_at, h.lifted_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, position_id)
    JOIN holds AS h ON h.institution_id = n.institution_id AND h.position_id = n.position_id
    WHERE (h.lifted = 0) IS TRUE;

-- Begin on PostgreSQL, holds
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN holds USING (institution_id, id);

-- Begin on SQLite, erasures; Erasure
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1 AND id = $2;

-- Begin on PostgreSQL, erasures
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN erasures USING (institution_id, id);

-- Begin on SQLite, secrets
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    WHERE institution_id = $1;

-- Begin on PostgreSQL, secrets
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    WHERE institution_id = ANY ($1::uuid[]);

-- Begin on SQLite, approval_rules; ApprovalRules; BookTables, rows of approval_rules; BookTables, rows of approval_rules after a cursor
SELECT institution_id, rules, version, created_at, updated_at
    FROM approval_rules
    WHERE institution_id = $1;

-- Begin on PostgreSQL, approval_rules
SELECT institution_id, rules, version, created_at, updated_at
    FROM approval_rules
    WHERE institution_id = ANY ($1::uuid[]);

-- Begin on SQLite, approvals; Approval
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND id = $2;

-- Begin on PostgreSQL, approvals
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN approvals USING (institution_id, id);

-- Begin on SQLite, approval_subjects; PendingOn, for each subject
SELECT s.institution_id, s.approval_id, s.number, s.subject, s.permission, s.currency, s.decimals, s.amount,
        s.holds, s.holder_reference
    FROM approval_subjects AS s
    JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id
    WHERE s.institution_id = $1 AND s.subject = $2 AND (a.status = 'PENDING') IS TRUE;

-- Begin on PostgreSQL, approval_subjects; PendingOn on PostgreSQL
SELECT s.institution_id, s.approval_id, s.number, s.subject, s.permission, s.currency, s.decimals, s.amount,
        s.holds, s.holder_reference
    FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, subject)
    JOIN approval_subjects AS s ON s.institution_id = n.institution_id AND s.subject = n.subject
    JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id
    WHERE (a.status = 'PENDING') IS TRUE;

-- Begin on SQLite, recent_moves
SELECT institution_id, of_actor, hours
    FROM recent_moves
    WHERE institution_id = $1 AND of_actor = $2;

-- Begin on PostgreSQL, recent_moves
SELECT institution_id, of_actor, hours
    FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, of_actor)
    JOIN recent_moves USING (institution_id, of_actor);

-- Begin on SQLite, idempotency_records
SELECT institution_id, key, fingerprint, subject, sequence, refusal, nonce, request_id, created_at, items
    FROM idempotency_records
    WHERE institution_id = $1 AND key = $2;

-- Begin on PostgreSQL, idempotency_records
SELECT institution_id, key, fingerprint, subject, sequence, refusal, nonce, request_id, created_at, items
    FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, key)
    JOIN idempotency_records USING (institution_id, key);

-- Begin on SQLite, for templates with uniqueExternalReference
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND unique_in = $2 AND external_reference = $3;

-- Begin on PostgreSQL, for templates with uniqueExternalReference
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (institution_id, unique_in, external_reference)
    JOIN positions USING (institution_id, unique_in, external_reference);

-- Commit on SQLite, for each row
UPDATE journal_heads
    SET sequence = CASE WHEN sequence = $2 AND last_at = $3 AND lost_sequence = $4 THEN $5 ELSE -1 END,
        last_at = $6, lost_sequence = $7, closed_sequence = $8, rules_sequence = $9, pending_approvals = $10
    WHERE institution_id = $1;

-- Commit on PostgreSQL
UPDATE journal_heads AS t
    SET sequence = CASE WHEN t.sequence = n.from_sequence AND t.last_at = n.from_at
        AND t.lost_sequence = n.from_lost_sequence THEN n.to_sequence ELSE -1 END, last_at = n.to_at,
        lost_sequence = n.to_lost_sequence, closed_sequence = n.to_closed_sequence,
        rules_sequence = n.to_rules_sequence, pending_approvals = n.to_pending_approvals
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[]) AS n (institution_id, from_sequence,
        from_at, from_lost_sequence, to_sequence, to_at, to_lost_sequence, to_closed_sequence,
        to_rules_sequence, to_pending_approvals)
    WHERE t.institution_id = n.institution_id;

-- Commit on SQLite, for each row
INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence,
        pending_approvals)
    VALUES ($1, $2, $3, $4, $5, $6, $7);

-- Commit on PostgreSQL
INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence,
        pending_approvals) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bigint[],
        $5::bigint[], $6::bigint[], $7::bigint[]);

-- Commit on SQLite, for each row
INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body, private)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- Commit on PostgreSQL
INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body,
        private) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[],
        $6::text[], $7::bytea[], $8::bytea[]);

-- Commit on SQLite, for each row
INSERT INTO institutions (id, name, regions, verticals, created_at, version, closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7);

-- Commit on PostgreSQL
INSERT INTO institutions (id, name, regions, verticals, created_at, version,
        closed_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
        $6::bigint[], $7::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO api_keys (institution_id, id, label, owner, role, permissions, restriction, allowed_networks,
        hash, created_at, expires_at, revoked_at, rotated_to, version, created_by, origin)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16);

-- Commit on PostgreSQL
INSERT INTO api_keys (institution_id, id, label, owner, role, permissions, restriction, allowed_networks,
        hash, created_at, expires_at, revoked_at, rotated_to, version, created_by,
        origin) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::text[], $9::bytea[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
        $13::uuid[], $14::bigint[], $15::text[], $16::uuid[]);

-- Commit on SQLite, for each row
INSERT INTO identity_providers (institution_id, issuer, client_id, has_secret, secret_number, audience,
        claims, role_by_group, version, created_at, updated_at, removed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- Commit on PostgreSQL
INSERT INTO identity_providers (institution_id, issuer, client_id, has_secret, secret_number, audience,
        claims, role_by_group, version, created_at, updated_at, removed_at) SELECT * FROM unnest($1::uuid[],
        $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::bigint[],
        $10::timestamptz[], $11::timestamptz[], $12::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO users (institution_id, id, issuer, subject, display_name, email, joined_at, updated_at,
        suspended_at, suspensions, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- Commit on PostgreSQL
INSERT INTO users (institution_id, id, issuer, subject, display_name, email, joined_at, updated_at,
        suspended_at, suspensions, version) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[],
        $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
        $10::bigint[], $11::bigint[]);

-- Commit on SQLite, for each row
INSERT INTO roles (institution_id, name, permissions, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6);

-- Commit on PostgreSQL
INSERT INTO roles (institution_id, name, permissions, version, created_at,
        updated_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[],
        $6::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO policies (institution_id, region, min_amount, max_amount, allowed_currencies, created_at,
        updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7);

-- Commit on PostgreSQL
INSERT INTO policies (institution_id, region, min_amount, max_amount, allowed_currencies, created_at,
        updated_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
        $6::timestamptz[], $7::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO asset_templates (institution_id, id, code, name, vertical, region, config, created_at, version,
        closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- Commit on PostgreSQL
INSERT INTO asset_templates (institution_id, id, code, name, vertical, region, config, created_at, version,
        closed_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],
        $6::text[], $7::text[], $8::timestamptz[], $9::bigint[], $10::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO assets (institution_id, id, template_id, label, metadata, created_at, version, closed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- Commit on PostgreSQL
INSERT INTO assets (institution_id, id, template_id, label, metadata, created_at, version,
        closed_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bytea[],
        $6::timestamptz[], $7::bigint[], $8::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO positions (institution_id, id, version, state, history_bytes, asset_id, holder_reference,
        external_reference, unique_in, currency, decimals, amount, funded, released, refunded, held, holds,
        whole_holds, held_back, retained, expires_at, metadata, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24);

-- Commit on PostgreSQL
INSERT INTO positions (institution_id, id, version, state, history_bytes, asset_id, holder_reference,
        external_reference, unique_in, currency, decimals, amount, funded, released, refunded, held, holds,
        whole_holds, held_back, retained, expires_at, metadata, created_at,
        updated_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[],
        $6::uuid[], $7::text[], $8::text[], $9::uuid[], $10::text[], $11::bigint[], $12::bigint[],
        $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
        $19::bigint[], $20::bigint[], $21::timestamptz[], $22::bytea[], $23::timestamptz[],
        $24::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO holds (institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at,
        placed, created_at, lifted_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- Commit on PostgreSQL
INSERT INTO holds (institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at,
        placed, created_at, lifted_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[],
        $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::timestamptz[], $10::bigint[],
        $11::timestamptz[], $12::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO erasures (institution_id, id, erased, open, retained, on_hold, approvals_erased,
        approvals_pending, approvals_retained, retained_until, complete, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12);

-- Commit on PostgreSQL
INSERT INTO erasures (institution_id, id, erased, open, retained, on_hold, approvals_erased,
        approvals_pending, approvals_retained, retained_until, complete,
        created_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],
        $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::timestamptz[], $11::bigint[],
        $12::timestamptz[]);

-- Commit on SQLite, for each row; CopyFrom on SQLite, for each row of secrets
INSERT INTO secrets (institution_id, kind, subject, sealed, sealed_under)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (institution_id, kind, subject) DO UPDATE
    SET sealed = excluded.sealed, sealed_under = excluded.sealed_under;

-- Commit on PostgreSQL; CopyFrom on PostgreSQL, rows of secrets
INSERT INTO secrets (institution_id, kind, subject, sealed, sealed_under) SELECT * FROM unnest($1::uuid[],
        $2::text[], $3::text[], $4::bytea[], $5::text[])
    ON CONFLICT (institution_id, kind, subject) DO UPDATE
    SET sealed = excluded.sealed, sealed_under = excluded.sealed_under;

-- Commit on SQLite, for each row
INSERT INTO approval_rules (institution_id, rules, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5);

-- Commit on PostgreSQL
INSERT INTO approval_rules (institution_id, rules, version, created_at,
        updated_at) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[],
        $5::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO approvals (institution_id, id, version, status, entry_subject, maker, request, private, given,
        executed, entries, refusal, erased_at, erasure_reason, expires_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17);

-- Commit on PostgreSQL
INSERT INTO approvals (institution_id, id, version, status, entry_subject, maker, request, private, given,
        executed, entries, refusal, erased_at, erasure_reason, expires_at, created_at,
        updated_at) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[],
        $6::text[], $7::bytea[], $8::bytea[], $9::text[], $10::bigint[], $11::bigint[], $12::text[],
        $13::timestamptz[], $14::bigint[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[]);

-- Commit on SQLite, for each row
INSERT INTO approval_subjects (institution_id, approval_id, number, subject, permission, currency, decimals,
        amount, holds, holder_reference)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- Commit on PostgreSQL
INSERT INTO approval_subjects (institution_id, approval_id, number, subject, permission, currency, decimals,
        amount, holds, holder_reference) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[],
        $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[]);

-- Commit on SQLite, for each row
INSERT INTO recent_moves (institution_id, of_actor, hours)
    VALUES ($1, $2, $3);

-- Commit on PostgreSQL
INSERT INTO recent_moves (institution_id, of_actor, hours) SELECT * FROM unnest($1::uuid[], $2::text[],
        $3::text[]);

-- Commit on SQLite, for each row
INSERT INTO idempotency_records (institution_id, key, fingerprint, subject, sequence, refusal, nonce,
        request_id, created_at, items)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- Commit on PostgreSQL
INSERT INTO idempotency_records (institution_id, key, fingerprint, subject, sequence, refusal, nonce,
        request_id, created_at, items) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[],
        $5::bigint[], $6::text[], $7::bytea[], $8::text[], $9::timestamptz[], $10::text[]);

-- Commit on SQLite, for each row
UPDATE institutions
    SET name = $2, version = $3, closed_at = $4
    WHERE id = $1;

-- Commit on PostgreSQL
UPDATE institutions AS t
    SET name = n.name, version = n.version, closed_at = n.closed_at
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[]) AS n (id, name, version, closed_at)
    WHERE t.id = n.id;

-- Commit on SQLite, for each row
UPDATE api_keys
    SET label = $3, expires_at = $4, revoked_at = $5, rotated_to = $6, version = $7
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE api_keys AS t
    SET label = n.label, expires_at = n.expires_at, revoked_at = n.revoked_at, rotated_to = n.rotated_to,
        version = n.version
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::uuid[],
        $7::bigint[]) AS n (institution_id, id, label, expires_at, revoked_at, rotated_to, version)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE identity_providers
    SET issuer = $2, client_id = $3, has_secret = $4, secret_number = $5, audience = $6, claims = $7,
        role_by_group = $8, version = $9, created_at = $10, updated_at = $11, removed_at = $12
    WHERE institution_id = $1;

-- Commit on PostgreSQL
UPDATE identity_providers AS t
    SET issuer = n.issuer, client_id = n.client_id, has_secret = n.has_secret,
        secret_number = n.secret_number, audience = n.audience, claims = n.claims,
        role_by_group = n.role_by_group, version = n.version, created_at = n.created_at,
        updated_at = n.updated_at, removed_at = n.removed_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::bigint[], $10::timestamptz[], $11::timestamptz[],
        $12::timestamptz[]) AS n (institution_id, issuer, client_id, has_secret, secret_number, audience,
        claims, role_by_group, version, created_at, updated_at, removed_at)
    WHERE t.institution_id = n.institution_id;

-- Commit on SQLite, for each row
UPDATE users
    SET display_name = $3, email = $4, updated_at = $5, suspended_at = $6, suspensions = $7, version = $8
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE users AS t
    SET display_name = n.display_name, email = n.email, updated_at = n.updated_at,
        suspended_at = n.suspended_at, suspensions = n.suspensions, version = n.version
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
        $7::bigint[], $8::bigint[]) AS n (institution_id, id, display_name, email, updated_at, suspended_at,
        suspensions, version)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE secrets
    SET sealed = $4, sealed_under = $5
    WHERE institution_id = $1 AND kind = $2 AND subject = $3;

-- Commit on PostgreSQL
UPDATE secrets AS t
    SET sealed = n.sealed, sealed_under = n.sealed_under
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS n (institution_id, kind,
        subject, sealed, sealed_under)
    WHERE t.institution_id = n.institution_id AND t.kind = n.kind AND t.subject = n.subject;

-- Commit on SQLite, for each row
UPDATE roles
    SET permissions = $3, version = $4, updated_at = $5
    WHERE institution_id = $1 AND name = $2;

-- Commit on PostgreSQL
UPDATE roles AS t
    SET permissions = n.permissions, version = n.version, updated_at = n.updated_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[]) AS n (institution_id,
        name, permissions, version, updated_at)
    WHERE t.institution_id = n.institution_id AND t.name = n.name;

-- Commit on SQLite, for each row
UPDATE asset_templates
    SET name = $3, version = $4, closed_at = $5
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE asset_templates AS t
    SET name = n.name, version = n.version, closed_at = n.closed_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::timestamptz[]) AS n (institution_id,
        id, name, version, closed_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE assets
    SET label = $3, metadata = $4, version = $5, closed_at = $6
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE assets AS t
    SET label = n.label, metadata = n.metadata, version = n.version, closed_at = n.closed_at
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bigint[],
        $6::timestamptz[]) AS n (institution_id, id, label, metadata, version, closed_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE policies
    SET min_amount = $3, max_amount = $4, allowed_currencies = $5, updated_at = $6
    WHERE institution_id = $1 AND region = $2;

-- Commit on PostgreSQL
UPDATE policies AS t
    SET min_amount = n.min_amount, max_amount = n.max_amount, allowed_currencies = n.allowed_currencies,
        updated_at = n.updated_at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
        $6::timestamptz[]) AS n (institution_id, region, min_amount, max_amount, allowed_currencies,
        updated_at)
    WHERE t.institution_id = n.institution_id AND t.region = n.region;

-- Commit on SQLite, for each row
UPDATE positions
    SET version = $3, state = $4, history_bytes = $5, funded = $6, released = $7, refunded = $8, held = $9,
        holds = $10, whole_holds = $11, held_back = $12, updated_at = $13
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE positions AS t
    SET version = n.version, state = n.state, history_bytes = n.history_bytes, funded = n.funded,
        released = n.released, refunded = n.refunded, held = n.held, holds = n.holds,
        whole_holds = n.whole_holds, held_back = n.held_back, updated_at = n.updated_at
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
        $13::timestamptz[]) AS n (institution_id, id, version, state, history_bytes, funded, released,
        refunded, held, holds, whole_holds, held_back, updated_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE holds
    SET lifted = $3, lifted_at = $4
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE holds AS t
    SET lifted = n.lifted, lifted_at = n.lifted_at
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[]) AS n (institution_id, id, lifted,
        lifted_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE approval_rules
    SET rules = $2, version = $3, updated_at = $4
    WHERE institution_id = $1;

-- Commit on PostgreSQL
UPDATE approval_rules AS t
    SET rules = n.rules, version = n.version, updated_at = n.updated_at
    FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[]) AS n (institution_id, rules,
        version, updated_at)
    WHERE t.institution_id = n.institution_id;

-- Commit on SQLite, for each row
UPDATE approvals
    SET version = $3, status = $4, given = $5, executed = $6, entries = $7, refusal = $8, erased_at = $9,
        erasure_reason = $10, updated_at = $11
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE approvals AS t
    SET version = n.version, status = n.status, given = n.given, executed = n.executed, entries = n.entries,
        refusal = n.refusal, erased_at = n.erased_at, erasure_reason = n.erasure_reason,
        updated_at = n.updated_at
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[],
        $8::text[], $9::timestamptz[], $10::bigint[], $11::timestamptz[]) AS n (institution_id, id, version,
        status, given, executed, entries, refusal, erased_at, erasure_reason, updated_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE recent_moves
    SET hours = $3
    WHERE institution_id = $1 AND of_actor = $2;

-- Commit on PostgreSQL
UPDATE recent_moves AS t
    SET hours = n.hours
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (institution_id, of_actor, hours)
    WHERE t.institution_id = n.institution_id AND t.of_actor = n.of_actor;

-- Commit on SQLite, for each row
UPDATE journal_entries
    SET private = NULL
    WHERE institution_id = $1 AND subject = $2 AND sequence < $3 AND private IS NOT NULL;

-- Commit on PostgreSQL
UPDATE journal_entries AS t
    SET private = NULL
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (institution_id, subject, sequence)
    WHERE t.institution_id = n.institution_id AND t.subject = n.subject AND t.sequence < n.sequence
        AND t.private IS NOT NULL;

-- Commit on SQLite, for each row
UPDATE positions
    SET holder_reference = NULL, external_reference = NULL, metadata = NULL
    WHERE institution_id = $1 AND id = $2;

-- Commit on PostgreSQL
UPDATE positions AS t
    SET holder_reference = NULL, external_reference = NULL, metadata = NULL
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Commit on SQLite, for each row
UPDATE journal_entries
    SET private = NULL
    WHERE institution_id = $1 AND private IS NOT NULL AND subject IN (SELECT entry_subject FROM (SELECT a.id,
        a.entry_subject FROM approval_subjects AS s JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id WHERE s.institution_id = $1 AND s.subject = $2 UNION SELECT a.id, a.entry_subject FROM journal_entries AS e JOIN approvals AS a ON a.institution_id = e.institution_id AND a.executed > 0 AND a.executed <= e.sequence AND a.executed > e.sequence - 1000 AND a.executed + a.entries > e.sequence WHERE e.institution_id = $1 AND e.subject = $2 AND e.kind = 'POSITION_CREATED') AS about) AND sequence < $3;

-- Commit on PostgreSQL
UPDATE journal_entries AS t
    SET private = NULL
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (institution_id, subject, sequence) CROSS
    JOIN LATERAL (SELECT a.id,
        a.entry_subject FROM approval_subjects AS s JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id WHERE s.institution_id = n.institution_id AND s.subject = n.subject UNION SELECT a.id, a.entry_subject FROM journal_entries AS e JOIN approvals AS a ON a.institution_id = e.institution_id AND a.executed > 0 AND a.executed <= e.sequence AND a.executed > e.sequence - 1000 AND a.executed + a.entries > e.sequence WHERE e.institution_id = n.institution_id AND e.subject = n.subject AND e.kind = 'POSITION_CREATED') AS about
    WHERE t.institution_id = n.institution_id AND t.private IS NOT NULL
        AND t.subject = about.entry_subject AND t.sequence < n.sequence;

-- Commit on SQLite, for each row
UPDATE approvals
    SET private = NULL
    WHERE institution_id = $1 AND private IS NOT NULL AND id IN (SELECT id FROM (SELECT a.id,
        a.entry_subject FROM approval_subjects AS s JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id WHERE s.institution_id = $1 AND s.subject = $2 UNION SELECT a.id, a.entry_subject FROM journal_entries AS e JOIN approvals AS a ON a.institution_id = e.institution_id AND a.executed > 0 AND a.executed <= e.sequence AND a.executed > e.sequence - 1000 AND a.executed + a.entries > e.sequence WHERE e.institution_id = $1 AND e.subject = $2 AND e.kind = 'POSITION_CREATED') AS about);

-- Commit on PostgreSQL
UPDATE approvals AS t
    SET private = NULL
    FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, subject) CROSS
    JOIN LATERAL (SELECT a.id,
        a.entry_subject FROM approval_subjects AS s JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id WHERE s.institution_id = n.institution_id AND s.subject = n.subject UNION SELECT a.id, a.entry_subject FROM journal_entries AS e JOIN approvals AS a ON a.institution_id = e.institution_id AND a.executed > 0 AND a.executed <= e.sequence AND a.executed > e.sequence - 1000 AND a.executed + a.entries > e.sequence WHERE e.institution_id = n.institution_id AND e.subject = n.subject AND e.kind = 'POSITION_CREATED') AS about
    WHERE t.institution_id = n.institution_id AND t.private IS NOT NULL AND t.id = about.id;

-- Commit on SQLite, for each row
UPDATE approvals
    SET private = NULL
    WHERE institution_id = $1 AND id = $2 AND private IS NOT NULL;

-- Commit on PostgreSQL
UPDATE approvals AS t
    SET private = NULL
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    WHERE t.institution_id = n.institution_id AND t.id = n.id AND t.private IS NOT NULL;

-- Commit
COMMIT;

-- Rollback
ROLLBACK;

-- Position, Key and their like on PostgreSQL, before they count on what is remembered
SELECT institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence, pending_approvals
    FROM journal_heads
    WHERE institution_id = ANY ($1::uuid[]);

-- CheckWritable on PostgreSQL
SELECT current_setting('transaction_read_only') = 'on';

-- each connection to PostgreSQL
SELECT current_setting('transaction_read_only') = 'on', pg_backend_pid();

-- each connection to PostgreSQL
SELECT set_config(name, value, false)
    FROM (SELECT current_setting('synchronous_commit') AS now) AS c, LATERAL (VALUES ('timezone', 'UTC'),
        ('client_min_messages', 'warning'), ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan',
        'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_bitmapscan', 'off'),
        ('jit', 'off'), ('idle_in_transaction_session_timeout', '15000'), ('tcp_keepalives_idle', '5'),
        ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '2'), ('tcp_user_timeout', '15000'),
        ('synchronous_commit', CASE c.now WHEN 'off' THEN 'on' ELSE c.now END)) AS settings (name, value);

-- each transaction on PostgreSQL behind a pooler
SELECT count(set_config(name, value, true)), current_setting('synchronous_standby_names') <> '',
        CASE WHEN pg_is_in_recovery() THEN '' ELSE concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database())) END
    FROM (SELECT current_setting('synchronous_commit') AS now) AS c, LATERAL (VALUES ('timezone', 'UTC'),
        ('client_min_messages', 'warning'), ('plan_cache_mode', 'force_generic_plan'), ('enable_seqscan',
        'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off'), ('enable_bitmapscan', 'off'),
        ('jit', 'off'), ('idle_in_transaction_session_timeout', '15000'), ('tcp_keepalives_idle', '5'),
        ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '2'), ('tcp_user_timeout', '15000'),
        ('synchronous_commit', CASE c.now WHEN 'off' THEN 'on' ELSE c.now END),
        ('client_connection_check_interval', '5s')) AS settings (name, value);

-- a new connection on PostgreSQL
SELECT current_setting('synchronous_standby_names') <> '',
        CASE WHEN pg_is_in_recovery() THEN '' ELSE concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()), left(pg_walfile_name(pg_current_wal_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database())) END;

-- CheckHistory on PostgreSQL
SELECT n.institution_id
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[]) AS n (institution_id, sequence, at) LEFT
    JOIN journal_heads AS h ON h.institution_id = n.institution_id
    WHERE n.sequence > 0
        AND (h.sequence IS NULL OR h.sequence < n.sequence OR EXISTS (SELECT FROM journal_entries AS e WHERE e.institution_id = n.institution_id AND e.sequence = n.sequence AND e.at > n.at));

-- Confirm on PostgreSQL
SELECT pg_logical_emit_message(true, 'escrowgrid', '');

-- each connection to PostgreSQL
SELECT set_config(name, '5s', false)
    FROM pg_settings
    WHERE name = 'client_connection_check_interval';

-- each connection to PostgreSQL behind a pooler
SELECT set_config(name, '5s', true)
    FROM pg_settings
    WHERE name = 'client_connection_check_interval';

-- CopyFrom, rows of idempotency_records
SELECT institution_id, key, fingerprint, subject, sequence, refusal, nonce, request_id, created_at, items
    FROM idempotency_records
    ORDER BY institution_id, key LIMIT 512;

-- CopyFrom, later rows of idempotency_records
SELECT institution_id, key, fingerprint, subject, sequence, refusal, nonce, request_id, created_at, items
    FROM idempotency_records
    WHERE (institution_id, key) > ($1, $2)
    ORDER BY institution_id, key LIMIT 512;

-- CopyFrom on SQLite, for each row of idempotency_records
INSERT INTO idempotency_records (institution_id, key, fingerprint, subject, sequence, refusal, nonce,
        request_id, created_at, items) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
    WHERE NOT EXISTS (SELECT 1 FROM idempotency_records WHERE institution_id = $1 AND key = $2);

-- CopyFrom on PostgreSQL, rows of idempotency_records
INSERT INTO idempotency_records (institution_id, key, fingerprint, subject, sequence, refusal, nonce,
        request_id, created_at, items) SELECT n.*
    FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::text[], $7::bytea[],
        $8::text[], $9::timestamptz[], $10::text[]) AS n (institution_id, key, fingerprint, subject,
        sequence, refusal, nonce, request_id, created_at, items)
    WHERE NOT EXISTS (SELECT 1 FROM idempotency_records AS t WHERE t.institution_id = n.institution_id
        AND t.key = n.key);

-- CopyFrom, rows of checkpoint_keys
SELECT verifier_key, signing_key, created_at
    FROM checkpoint_keys
    ORDER BY verifier_key LIMIT 512;

-- CopyFrom, later rows of checkpoint_keys
SELECT verifier_key, signing_key, created_at
    FROM checkpoint_keys
    WHERE (verifier_key) > ($1)
    ORDER BY verifier_key LIMIT 512;

-- CopyFrom on SQLite, for each row of checkpoint_keys; AddCheckpoint on SQLite, for each row; AddCheckpointKey on SQLite, for each row
INSERT INTO checkpoint_keys (verifier_key, signing_key, created_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (verifier_key) DO NOTHING;

-- CopyFrom on PostgreSQL, rows of checkpoint_keys; AddCheckpoint on PostgreSQL; AddCheckpointKey on PostgreSQL
INSERT INTO checkpoint_keys (verifier_key, signing_key, created_at) SELECT * FROM unnest($1::text[],
        $2::text[], $3::timestamptz[])
    ON CONFLICT (verifier_key) DO NOTHING;

-- CopyFrom, rows of journal_checkpoints
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    ORDER BY institution_id, size LIMIT 512;

-- CopyFrom, later rows of journal_checkpoints
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE (institution_id, size) > ($1, $2)
    ORDER BY institution_id, size LIMIT 512;

-- CopyFrom on SQLite, for each row of journal_checkpoints
INSERT INTO journal_checkpoints (institution_id, size, at, note, balances) SELECT $1, $2, $3, $4, $5
    WHERE NOT EXISTS (SELECT 1 FROM journal_checkpoints WHERE institution_id = $1 AND size = $2);

-- CopyFrom on PostgreSQL, rows of journal_checkpoints
INSERT INTO journal_checkpoints (institution_id, size, at, note, balances) SELECT n.*
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bytea[], $5::text[]) AS n (institution_id,
        size, at, note, balances)
    WHERE NOT EXISTS (SELECT 1 FROM journal_checkpoints AS t WHERE t.institution_id = n.institution_id
        AND t.size = n.size);

-- CopyFrom, rows of journal_tiles
SELECT institution_id, level, number, hashes
    FROM journal_tiles
    ORDER BY institution_id, level, number LIMIT 512;

-- CopyFrom, later rows of journal_tiles
SELECT institution_id, level, number, hashes
    FROM journal_tiles
    WHERE (institution_id, level, number) > ($1, $2, $3)
    ORDER BY institution_id, level, number LIMIT 512;

-- CopyFrom on SQLite, for each row of journal_tiles; AddCheckpoint on SQLite, for each row
INSERT INTO journal_tiles (institution_id, level, number, hashes)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (institution_id, level, number) DO UPDATE
    SET hashes = excluded.hashes
    WHERE length(excluded.hashes) > length(journal_tiles.hashes);

-- CopyFrom on PostgreSQL, rows of journal_tiles; AddCheckpoint on PostgreSQL
INSERT INTO journal_tiles (institution_id, level, number, hashes) SELECT * FROM unnest($1::uuid[],
        $2::bigint[], $3::bigint[], $4::bytea[])
    ON CONFLICT (institution_id, level, number) DO UPDATE
    SET hashes = excluded.hashes
    WHERE length(excluded.hashes) > length(journal_tiles.hashes);

-- CopyFrom, rows of security_events
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    ORDER BY id LIMIT 512;

-- CopyFrom, later rows of security_events
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE (id) > ($1)
    ORDER BY id LIMIT 512;

-- CopyFrom on SQLite, for each row of security_events; AddSecurityEvents on SQLite, for each row
INSERT INTO security_events (id, at, institution_id, actor, code, method, path, client, request_id, last_at,
        count)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (id) DO UPDATE
    SET last_at = excluded.last_at, count = excluded.count;

-- CopyFrom on PostgreSQL, rows of security_events; AddSecurityEvents on PostgreSQL
INSERT INTO security_events (id, at, institution_id, actor, code, method, path, client, request_id, last_at,
        count) SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[],
        $6::text[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::bigint[])
    ON CONFLICT (id) DO UPDATE
    SET last_at = excluded.last_at, count = excluded.count;

-- CopyFrom, rows of api_key_uses
SELECT institution_id, id, last_used_at, last_used_from
    FROM api_key_uses
    ORDER BY institution_id, id LIMIT 512;

-- CopyFrom, later rows of api_key_uses
SELECT institution_id, id, last_used_at, last_used_from
    FROM api_key_uses
    WHERE (institution_id, id) > ($1, $2)
    ORDER BY institution_id, id LIMIT 512;

-- CopyFrom on SQLite, for each row of api_key_uses; NoteKeyUses on SQLite, for each row
INSERT INTO api_key_uses (institution_id, id, last_used_at, last_used_from)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (institution_id, id) DO UPDATE
    SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from
    WHERE api_key_uses.last_used_at < excluded.last_used_at;

-- CopyFrom on PostgreSQL, rows of api_key_uses; NoteKeyUses on PostgreSQL
INSERT INTO api_key_uses (institution_id, id, last_used_at, last_used_from) SELECT * FROM unnest($1::uuid[],
        $2::uuid[], $3::timestamptz[], $4::text[])
    ON CONFLICT (institution_id, id) DO UPDATE
    SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from
    WHERE api_key_uses.last_used_at < excluded.last_used_at;

-- CopyFrom, rows of secrets
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    ORDER BY institution_id, kind, subject LIMIT 512;

-- CopyFrom, later rows of secrets
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    WHERE (institution_id, kind, subject) > ($1, $2, $3)
    ORDER BY institution_id, kind, subject LIMIT 512;

-- Positions within a template, for each asset; Positions, within a template
SELECT id, template_id
    FROM assets
    WHERE institution_id = $1 AND id = $2;

-- Positions within a template on PostgreSQL
SELECT id, template_id
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN assets USING (institution_id, id);

-- KeyUses on PostgreSQL
SELECT institution_id, id, last_used_at, last_used_from
    FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
    JOIN api_key_uses USING (institution_id, id);

-- AddHoldSteps, for each step
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence = $2;

-- AddHoldSteps on PostgreSQL
SELECT body, private
    FROM unnest($1::uuid[], $2::bigint[]) AS n (institution_id, sequence)
    JOIN journal_entries USING (institution_id, sequence);

-- Servers on PostgreSQL
SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1 AND pid <> ALL ($2::bigint[]);

-- EndAbandoned on PostgreSQL
SELECT pg_terminate_backend(holder.pid)
    FROM pg_stat_activity AS holder
    WHERE holder.usename = current_user AND holder.datname = current_database()
        AND holder.application_name = $1 AND holder.wait_event_type = 'Client'
        AND holder.state_change < clock_timestamp() - $2 * interval '1 microsecond'
        AND holder.pid IN (SELECT unnest(pg_blocking_pids(waiter.pid)) FROM pg_stat_activity AS waiter WHERE waiter.usename = current_user AND waiter.datname = current_database() AND waiter.application_name = $1 AND waiter.wait_event_type = 'Lock');

-- IfLeader on PostgreSQL
UPDATE duty_leases
    SET fence = fence + 1, ends_at = clock_timestamp() + $2 * interval '1 microsecond'
    WHERE duty = $1 AND ends_at <= clock_timestamp() RETURNING fence;

-- IfLeader on PostgreSQL
UPDATE duty_leases
    SET ends_at = clock_timestamp() + $3 * interval '1 microsecond'
    WHERE duty = $1 AND fence = $2;

-- what is written under a lease, on PostgreSQL
UPDATE duty_leases
    SET fence = CASE WHEN fence = $2 THEN fence ELSE -1 END
    WHERE duty = $1;

-- CheckSchema
SELECT COALESCE(MAX(version_id), 0)
    FROM goose_db_version
    WHERE is_applied;

-- KeyByHash
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE hash IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
        $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60,
        $61, $62, $63, $64);

-- HoldRows
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND position_id = $2
    ORDER BY id;

-- CountHolds
SELECT count(*)
    FROM holds
    WHERE institution_id = $1 AND placed <= $2;

-- KeyUses
SELECT institution_id, id, last_used_at, last_used_from
    FROM api_key_uses
    WHERE institution_id = $1 AND id = $2;

-- ExpiringKeys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE revoked_at IS NULL AND expires_at IS NOT NULL AND expires_at > $1 AND expires_at <= $2
    ORDER BY expires_at LIMIT $3;

-- CountExpiringKeys
SELECT count(*)
    FROM api_keys
    WHERE revoked_at IS NULL AND expires_at IS NOT NULL AND expires_at > $1 AND expires_at <= $2;

-- ProvidersOf
SELECT institution_id, issuer, client_id, has_secret, secret_number, audience, claims, role_by_group,
        version, created_at, updated_at, removed_at
    FROM identity_providers
    WHERE issuer = $1 AND removed_at IS NULL
    ORDER BY institution_id LIMIT $2;

-- Secret
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    WHERE institution_id = $1 AND kind = $2 AND subject = $3;

-- SecretNames
SELECT a.request, $4 AS kind, s.subject, 0 AS kept
    FROM approval_subjects AS s
    JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id
    WHERE s.institution_id = $1 AND s.subject = $3 AND (a.status = 'PENDING') IS TRUE UNION ALL SELECT NULL,
        $2, $3, 0
    FROM identity_providers
    WHERE institution_id = $1 AND has_secret = 1 UNION ALL SELECT NULL, kind, subject, 1
    FROM secrets
    WHERE institution_id = $1 AND sealed IS NOT NULL;

-- SecretKeys
WITH RECURSIVE walked (id) AS (SELECT min(sealed_under) FROM secrets WHERE sealed_under > '' UNION ALL SELECT (SELECT min(sealed_under) FROM secrets WHERE sealed_under > walked.id) FROM walked WHERE walked.id IS NOT NULL ) SELECT id
    FROM walked
    WHERE id IS NOT NULL;

-- SecretsUnder
SELECT institution_id, kind, subject, sealed, sealed_under
    FROM secrets
    WHERE sealed_under = $1 AND (institution_id, kind, subject) > ($2, $3, $4)
    ORDER BY institution_id, kind, subject LIMIT $5;

-- SealAnew
UPDATE secrets
    SET sealed = $1, sealed_under = $2
    WHERE institution_id = $3 AND kind = $4 AND subject = $5 AND sealed = $6;

-- AddSession on SQLite, for each row
INSERT INTO sessions (institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by,
        created_at, last_seen_at, ends_at, client, agent)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- AddSession on PostgreSQL
INSERT INTO sessions (institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by,
        created_at, last_seen_at, ends_at, client, agent) SELECT * FROM unnest($1::uuid[], $2::uuid[],
        $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::timestamptz[], $8::bytea[], $9::timestamptz[],
        $10::timestamptz[], $11::timestamptz[], $12::text[], $13::text[]);

-- AddSession
DELETE
    FROM sessions
    WHERE institution_id = $1 AND id IN (SELECT id FROM sessions WHERE institution_id = $1
        AND actor = $2 ORDER BY id DESC LIMIT 1000 OFFSET $3);

-- SessionByHash
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE hash IN ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40,
        $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60,
        $61, $62, $63, $64);

-- Session
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE institution_id = $1 AND id = $2;

-- EndSession
DELETE
    FROM sessions
    WHERE institution_id = $1 AND id = $2;

-- NoteSessions on SQLite, for each row
UPDATE sessions
    SET last_seen_at = $3
    WHERE institution_id = $1 AND id = $2;

-- NoteSessions on PostgreSQL
UPDATE sessions AS t
    SET last_seen_at = n.last_seen_at
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS n (institution_id, id, last_seen_at)
    WHERE t.institution_id = n.institution_id AND t.id = n.id;

-- Policies; Policy
SELECT institution_id, region, min_amount, max_amount, allowed_currencies, created_at, updated_at
    FROM policies
    WHERE institution_id = $1
    ORDER BY region;

-- HolderTotals
SELECT currency, decimals, funded, released, refunded
    FROM positions
    WHERE institution_id = $1 AND holder_reference = $2;

-- DueApprovals
SELECT institution_id, id
    FROM approvals
    WHERE expires_at <= $1 AND status = 'PENDING'
    ORDER BY expires_at LIMIT $2;

-- CountOrphanSubjects
SELECT count(*)
    FROM approval_subjects AS s
    WHERE institution_id = $1
        AND NOT EXISTS (SELECT 1 FROM approvals AS a WHERE a.institution_id = s.institution_id
        AND a.id = s.approval_id);

-- SubjectRows
SELECT institution_id, approval_id, number, subject, permission, currency, decimals, amount, holds,
        holder_reference
    FROM approval_subjects
    WHERE institution_id = $1 AND approval_id = $2
    ORDER BY number;

-- MovesRows
SELECT institution_id, of_actor, hours
    FROM recent_moves
    WHERE institution_id = $1;

-- PendingApprovals
SELECT (SELECT count(*) FROM (SELECT expires_at FROM approvals WHERE status = 'PENDING' ORDER BY expires_at LIMIT $1) AS counted), (SELECT created_at FROM approvals WHERE status = 'PENDING' ORDER BY created_at LIMIT 1), (SELECT expires_at FROM approvals WHERE status = 'PENDING' ORDER BY expires_at LIMIT 1);

-- WithEvents; Positions, with events
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND subject = $2
    ORDER BY sequence LIMIT $3;

-- DuePositions
SELECT institution_id, id
    FROM positions
    WHERE expires_at <= $1 AND state IN ('CREATED', 'FUNDED', 'PARTIALLY_RELEASED') AND holds = 0
    ORDER BY expires_at LIMIT $2;

-- FirstSequence, and lists of entries in a period; HaltIfLost; Positions, by their last steps; Positions, by their last steps, the last ones first; Entries, of a period
SELECT at
    FROM journal_entries
    WHERE institution_id = $1 AND sequence = $2;

-- Committed
SELECT body
    FROM journal_entries
    WHERE institution_id = $1 AND sequence = $2;

-- Purge
DELETE
    FROM idempotency_records
    WHERE (institution_id, key) IN (SELECT institution_id,
        key FROM idempotency_records WHERE created_at < $1 ORDER BY created_at LIMIT $2);

-- Purge
DELETE
    FROM sessions
    WHERE (institution_id, id) IN (SELECT institution_id,
        id FROM sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2);

-- Purge
DELETE
    FROM security_events
    WHERE id IN (SELECT id FROM security_events WHERE actor = $1 ORDER BY id DESC LIMIT $2 OFFSET $3);

-- Purge
DELETE
    FROM security_events
    WHERE id IN (SELECT id FROM security_events WHERE actor <> $1 ORDER BY id DESC LIMIT $2 OFFSET $3);

-- CheckHistory
SELECT COUNT(*)
    FROM journal_heads
    WHERE lost_sequence > 0;

-- HaltedJournals
SELECT institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence, pending_approvals
    FROM journal_heads
    WHERE lost_sequence > 0 AND institution_id > $1
    ORDER BY institution_id LIMIT $2;

-- HaltIfLost
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND kind = $2 AND kind NOT IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED')
    ORDER BY sequence DESC LIMIT 1001;

-- StoredEntries
SELECT institution_id, sequence, at, actor, kind, subject, body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence BETWEEN $2 AND $3
    ORDER BY sequence;

-- StoredPage
SELECT institution_id, sequence, at, actor, kind, subject, body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence <= $2 AND sequence > $3
    ORDER BY sequence ASC LIMIT 1001;

-- NextSequence
SELECT sequence
    FROM journal_entries
    WHERE institution_id = $1 AND sequence >= $2
    ORDER BY sequence LIMIT 1;

-- Histories
SELECT sequence, subject, body, private
    FROM journal_entries
    WHERE institution_id = $1 AND subject IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
        $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35,
        $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55,
        $56, $57, $58, $59, $60, $61, $62, $63, $64, $65);

-- Claims
SELECT p.id, COALESCE(holder_reference, ''), asset_id,
        COALESCE((SELECT label FROM assets AS a WHERE a.institution_id = p.institution_id
        AND a.id = p.asset_id), '')
    FROM positions AS p
    WHERE institution_id = $1 AND id = $2;

-- Range
SELECT sequence
    FROM journal_entries
    WHERE institution_id = $1
    ORDER BY sequence ASC LIMIT 1;

-- Range
SELECT sequence
    FROM journal_entries
    WHERE institution_id = $1
    ORDER BY sequence DESC LIMIT 1;

-- CountEntries
SELECT CAST(COALESCE(SUM(sequence), 0) AS bigint)
    FROM journal_heads
    WHERE sequence < 1000000000000;

-- NextTenant
SELECT institution_id
    FROM journal_heads
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM journal_entries
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM journal_checkpoints
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM journal_tiles
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT id
    FROM institutions
    WHERE id > $1
    ORDER BY id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM api_keys
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM identity_providers
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM users
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM roles
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM policies
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM asset_templates
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM assets
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM positions
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM holds
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM erasures
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM approval_rules
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM approvals
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM approval_subjects
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- NextTenant
SELECT institution_id
    FROM recent_moves
    WHERE institution_id > $1
    ORDER BY institution_id LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM journal_heads
    WHERE institution_id < $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM journal_entries
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM journal_checkpoints
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM journal_tiles
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT id
    FROM institutions
    WHERE id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM api_keys
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM identity_providers
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM users
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM roles
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM policies
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM asset_templates
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM assets
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM positions
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM holds
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM erasures
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM approval_rules
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM approvals
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM approval_subjects
    WHERE institution_id <= $1 LIMIT 1;

-- TablesOfNobody
SELECT institution_id
    FROM recent_moves
    WHERE institution_id <= $1 LIMIT 1;

-- EachTile
SELECT level, number, CAST(length(hashes) AS bigint)
    FROM journal_tiles
    WHERE institution_id = $1;

-- Tile
SELECT institution_id, level, number, hashes
    FROM journal_tiles
    WHERE institution_id = $1 AND level = $2 AND number = $3;

-- AddCheckpoint on SQLite, for each row
INSERT INTO journal_checkpoints (institution_id, size, at, note, balances)
    VALUES ($1, $2, $3, $4, $5);

-- AddCheckpoint on PostgreSQL
INSERT INTO journal_checkpoints (institution_id, size, at, note, balances) SELECT * FROM unnest($1::uuid[],
        $2::bigint[], $3::timestamptz[], $4::bytea[], $5::text[]);

-- CheckpointsSince
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE at >= $1
    ORDER BY at LIMIT $2;

-- HasCheckpoints
SELECT size
    FROM journal_checkpoints LIMIT 1;

-- LastCheckpoint
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE institution_id = $1 AND size <= $2
    ORDER BY size DESC LIMIT 1;

-- FirstCheckpoint
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE institution_id = $1 AND size >= $2
    ORDER BY size LIMIT 1;

-- UnsignedJournals
SELECT institution_id, sequence, size
    FROM (SELECT h.institution_id, h.sequence,
        COALESCE((SELECT MAX(c.size) FROM journal_checkpoints AS c WHERE c.institution_id = h.institution_id), 0) AS size FROM journal_heads AS h WHERE h.institution_id > $1 AND h.lost_sequence = 0) AS j
    WHERE sequence > size
    ORDER BY institution_id LIMIT $2;

-- CheckpointKeys
SELECT verifier_key, signing_key, created_at
    FROM checkpoint_keys
    ORDER BY created_at, verifier_key;

-- CheckCopy and BeginCopy
SELECT source, begun_at
    FROM unfinished_copies LIMIT 1;

-- FinishCopy
DELETE
    FROM unfinished_copies;

-- CopyFrom
SELECT institution_id, sequence, last_at, lost_sequence, closed_sequence, rules_sequence, pending_approvals
    FROM journal_heads
    ORDER BY institution_id;

-- BookTables, rows of api_keys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of api_keys
SELECT id
    FROM api_keys
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of api_keys after a cursor
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of users
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of users
SELECT id
    FROM users
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of users after a cursor
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of asset_templates
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of asset_templates
SELECT id
    FROM asset_templates
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of asset_templates after a cursor
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of assets
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of assets
SELECT id
    FROM assets
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of assets after a cursor
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of positions
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of positions
SELECT id
    FROM positions
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of positions after a cursor
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of erasures
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of erasures
SELECT id
    FROM erasures
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of erasures after a cursor
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of approvals
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 257;

-- BookTables, rows of approvals
SELECT id
    FROM approvals
    WHERE institution_id = $1 AND id <= $2 LIMIT 1;

-- BookTables, rows of approvals after a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 257;

-- Institutions
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    ORDER BY id ASC LIMIT 101;

-- Institutions, after a cursor
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    WHERE id > $1
    ORDER BY id ASC LIMIT 101;

-- Institutions, before a cursor
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    WHERE id < $1
    ORDER BY id DESC LIMIT 101;

-- Institutions, of a period
SELECT id, name, regions, verticals, created_at, version, closed_at
    FROM institutions
    WHERE id >= $1 AND id < $2
    ORDER BY id ASC LIMIT 101;

-- Keys
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND revoked_at IS NULL
    ORDER BY id ASC LIMIT 101;

-- Keys, after a cursor
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND revoked_at IS NULL AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Keys, before a cursor
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND revoked_at IS NULL AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Keys, of a period
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1 AND revoked_at IS NULL AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Keys, also revoked ones
SELECT institution_id, id, label, owner, role, permissions, restriction, allowed_networks, hash, created_at,
        expires_at, revoked_at, rotated_to, version, created_by, origin
    FROM api_keys
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Users
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND suspended_at IS NULL
    ORDER BY id ASC LIMIT 101;

-- Users, after a cursor
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND suspended_at IS NULL AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Users, before a cursor
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND suspended_at IS NULL AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Users, of a period
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1 AND suspended_at IS NULL AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Users, also suspended ones
SELECT institution_id, id, issuer, subject, display_name, email, joined_at, updated_at, suspended_at,
        suspensions, version
    FROM users
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Sessions
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Sessions, after a cursor
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Sessions, before a cursor
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Sessions, of a key; Sessions, of a user
SELECT institution_id, id, actor, hash, groups, suspensions, vouched_since, vouched_by, created_at,
        last_seen_at, ends_at, client, agent
    FROM sessions
    WHERE institution_id = $1 AND actor = $2
    ORDER BY id ASC LIMIT 101;

-- Templates
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Templates, after a cursor
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Templates, before a cursor
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Templates, of a period
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Templates, within one
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM asset_templates
    WHERE institution_id = $1 AND id = $2
    ORDER BY id ASC LIMIT 101;

-- Templates, within some
SELECT institution_id, id, code, name, vertical, region, config, created_at, version, closed_at
    FROM (SELECT * FROM (SELECT institution_id, id, code, name, vertical, region, config, created_at,
        version, closed_at FROM asset_templates WHERE institution_id = $1
        AND id = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id, id,
        code, name, vertical, region, config, created_at, version,
        closed_at FROM asset_templates WHERE institution_id = $1
        AND id = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Assets
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Assets, after a cursor
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Assets, before a cursor
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Assets, of a period
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Assets, of a template
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND template_id = $2
    ORDER BY id ASC LIMIT 101;

-- Assets, within one asset
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM assets
    WHERE institution_id = $1 AND id = $2
    ORDER BY id ASC LIMIT 101;

-- Assets, within some assets
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM (SELECT * FROM (SELECT institution_id, id, template_id, label, metadata, created_at, version,
        closed_at FROM assets WHERE institution_id = $1
        AND id = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id, id,
        template_id, label, metadata, created_at, version,
        closed_at FROM assets WHERE institution_id = $1
        AND id = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Assets, within some templates
SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at
    FROM (SELECT * FROM (SELECT institution_id, id, template_id, label, metadata, created_at, version,
        closed_at FROM assets WHERE institution_id = $1
        AND template_id = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id, id, template_id, label, metadata, created_at, version, closed_at FROM assets WHERE institution_id = $1 AND template_id = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Positions; Positions, counted; Positions, with events
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Positions, after a cursor
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Positions, before a cursor
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Positions, counted
SELECT count(*)
    FROM (SELECT id FROM positions WHERE institution_id = $1 ORDER BY id LIMIT 10001) AS counted;

-- Positions, of a period
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Positions, on an asset
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND asset_id = $2
    ORDER BY id ASC LIMIT 101;

-- Positions, of a holder
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND holder_reference = $2
    ORDER BY id ASC LIMIT 101;

-- Positions, under a reference
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND external_reference = $2
    ORDER BY id ASC LIMIT 101;

-- Positions, in one of some states
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM (SELECT * FROM (SELECT institution_id, id, version, state, history_bytes, asset_id,
        holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released,
        refunded, held, holds, whole_holds, held_back, retained, expires_at, metadata, created_at,
        updated_at FROM positions WHERE institution_id = $1
        AND state = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id,
        id, version, state, history_bytes, asset_id, holder_reference, external_reference, unique_in,
        currency, decimals, amount, funded, released, refunded, held, holds, whole_holds, held_back,
        retained, expires_at, metadata, created_at, updated_at FROM positions WHERE institution_id = $1
        AND state = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Positions, by their last steps
SELECT sequence, at, subject
    FROM journal_entries
    WHERE institution_id = $1 AND sequence > $2 AND sequence < $3 AND kind IN ('POSITION_CREATED',
        'POSITION_STATE_CHANGED', 'POSITION_DATA_ERASED', 'HOLD_PLACED', 'HOLD_LIFTED')
    ORDER BY sequence ASC LIMIT $4;

-- Positions, in a state
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND state = $2
    ORDER BY id ASC LIMIT 101;

-- Positions, in a currency
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1 AND currency = $2
    ORDER BY id ASC LIMIT 101;

-- Positions, within some assets
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM (SELECT * FROM (SELECT institution_id, id, version, state, history_bytes, asset_id,
        holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released,
        refunded, held, holds, whole_holds, held_back, retained, expires_at, metadata, created_at,
        updated_at FROM positions WHERE institution_id = $1
        AND asset_id = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds, held_back, retained, expires_at, metadata, created_at, updated_at FROM positions WHERE institution_id = $1 AND asset_id = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Positions, within some holders
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM (SELECT * FROM (SELECT institution_id, id, version, state, history_bytes, asset_id,
        holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released,
        refunded, held, holds, whole_holds, held_back, retained, expires_at, metadata, created_at,
        updated_at FROM positions WHERE institution_id = $1
        AND holder_reference = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds, held_back, retained, expires_at, metadata, created_at, updated_at FROM positions WHERE institution_id = $1 AND holder_reference = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Positions, within a template
SELECT institution_id, id, version, state, history_bytes, asset_id, holder_reference, external_reference,
        unique_in, currency, decimals, amount, funded, released, refunded, held, holds, whole_holds,
        held_back, retained, expires_at, metadata, created_at, updated_at
    FROM positions
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 501;

-- Positions, by their last steps, the last ones first
SELECT sequence, at, subject
    FROM journal_entries
    WHERE institution_id = $1 AND sequence > $2 AND sequence < $3 AND kind IN ('POSITION_CREATED',
        'POSITION_STATE_CHANGED', 'POSITION_DATA_ERASED', 'HOLD_PLACED', 'HOLD_LIFTED')
    ORDER BY sequence DESC LIMIT $4;

-- Entries
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1
    ORDER BY sequence ASC LIMIT 101;

-- Entries, after a cursor
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence > $2
    ORDER BY sequence ASC LIMIT 101;

-- Entries, before a cursor
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence < $2
    ORDER BY sequence DESC LIMIT 101;

-- Entries, of the ledger
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND kind IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED')
    ORDER BY sequence ASC LIMIT 101;

-- Entries, of a kind of the ledger's
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND kind = $2
    ORDER BY sequence ASC LIMIT 101;

-- Entries, of some kinds
SELECT body, private
    FROM (SELECT * FROM (SELECT sequence, body, private FROM journal_entries WHERE institution_id = $1
        AND kind = $2 ORDER BY sequence ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT sequence,
        body, private FROM journal_entries WHERE institution_id = $1 AND kind = $3
        AND kind NOT IN ('POSITION_CREATED',
        'POSITION_STATE_CHANGED') ORDER BY sequence ASC LIMIT 101) AS list_2) AS lists
    ORDER BY sequence ASC LIMIT 101;

-- Entries, of another kind
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND kind = $2 AND kind NOT IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED')
    ORDER BY sequence ASC LIMIT 101;

-- Entries, of an actor
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND actor = $2
    ORDER BY sequence ASC LIMIT 101;

-- Entries, on a subject
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND subject = $2
    ORDER BY sequence ASC LIMIT 101;

-- Entries, up to a sequence
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence <= $2
    ORDER BY sequence ASC LIMIT 101;

-- Entries, of a period
SELECT body, private
    FROM journal_entries
    WHERE institution_id = $1 AND sequence >= $2 AND sequence < $3
    ORDER BY sequence ASC LIMIT 101;

-- Approvals
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Approvals, after a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Approvals, before a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Approvals, on a subject
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1 AND subject = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.subject = s.subject AND e.approval_id = s.approval_id AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE institution_id = $3
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, on a subject, after a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1 AND subject = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.subject = s.subject AND e.approval_id = s.approval_id AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE institution_id = $3 AND approval_id > $4
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, on a subject, before a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1 AND subject = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.subject = s.subject AND e.approval_id = s.approval_id AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE institution_id = $3 AND approval_id < $4
    ORDER BY approval_id DESC LIMIT 101;

-- Approvals, of a holder
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND institution_id = $4
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a holder, after a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND institution_id = $4 AND approval_id > $5
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a holder, before a cursor
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND institution_id = $4 AND approval_id < $5
    ORDER BY approval_id DESC LIMIT 101;

-- Approvals, of a period
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Approvals, on a subject, of a period
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1 AND subject = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.subject = s.subject AND e.approval_id = s.approval_id AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE institution_id = $3 AND approval_id >= $4 AND approval_id < $5
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, on a subject, of a status
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1 AND subject = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.subject = s.subject AND e.approval_id = s.approval_id AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE institution_id = $3 AND status = $4
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a holder, of a period
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND institution_id = $4 AND approval_id >= $5 AND approval_id < $6
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a holder, on a subject
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND EXISTS (SELECT 1 FROM approval_subjects AS o WHERE o.institution_id = $4
        AND o.subject = $5 AND o.approval_id = about.approval_id) AND institution_id = $6
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a holder, of a status
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT approval_id FROM approval_subjects AS s WHERE institution_id = $1
        AND holder_reference = $2
        AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
        AND e.holder_reference = s.holder_reference AND e.approval_id = s.approval_id
        AND e.number < s.number)) AS about
    JOIN approvals ON id = approval_id
    WHERE status <> $3 AND institution_id = $4 AND status = $5
    ORDER BY approval_id ASC LIMIT 101;

-- Approvals, of a status
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM approvals
    WHERE institution_id = $1 AND status = $2
    ORDER BY id ASC LIMIT 101;

-- Approvals, of some statuses
SELECT institution_id, id, version, status, entry_subject, maker, request, private, given, executed, entries,
        refusal, erased_at, erasure_reason, expires_at, created_at, updated_at
    FROM (SELECT * FROM (SELECT institution_id, id, version, status, entry_subject, maker, request, private,
        given, executed, entries, refusal, erased_at, erasure_reason, expires_at, created_at,
        updated_at FROM approvals WHERE institution_id = $1
        AND status = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id,
        id, version, status, entry_subject, maker, request, private, given, executed, entries, refusal,
        erased_at, erasure_reason, expires_at, created_at,
        updated_at FROM approvals WHERE institution_id = $1
        AND status = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Holds
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Holds, after a cursor
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Holds, before a cursor
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Holds, of a period
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND id >= $2 AND id < $3
    ORDER BY id ASC LIMIT 101;

-- Holds, on a position
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND position_id = $2
    ORDER BY id ASC LIMIT 101;

-- Holds, of a kind
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND kind = $2
    ORDER BY id ASC LIMIT 101;

-- Holds, of all kinds
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM (SELECT * FROM (SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount,
        review_at, placed, created_at, lifted_at FROM holds WHERE institution_id = $1
        AND kind = $2 ORDER BY id ASC LIMIT 101) AS list_1 UNION ALL SELECT * FROM (SELECT institution_id,
        id, lifted, position_id, kind, currency, decimals, amount, review_at, placed, created_at,
        lifted_at FROM holds WHERE institution_id = $1
        AND kind = $3 ORDER BY id ASC LIMIT 101) AS list_2) AS lists
    ORDER BY id ASC LIMIT 101;

-- Holds, in force
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND lifted = 0
    ORDER BY id ASC LIMIT 101;

-- Holds, lifted
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND lifted > 0
    ORDER BY id ASC LIMIT 101;

-- Holds, to be reviewed
SELECT institution_id, id, lifted, position_id, kind, currency, decimals, amount, review_at, placed,
        created_at, lifted_at
    FROM holds
    WHERE institution_id = $1 AND review_at < $2
    ORDER BY id ASC LIMIT 101;

-- Erasures
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- Erasures, after a cursor
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1 AND id > $2
    ORDER BY id ASC LIMIT 101;

-- Erasures, before a cursor
SELECT institution_id, id, erased, open, retained, on_hold, approvals_erased, approvals_pending,
        approvals_retained, retained_until, complete, created_at
    FROM erasures
    WHERE institution_id = $1 AND id < $2
    ORDER BY id DESC LIMIT 101;

-- Checkpoints
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE institution_id = $1
    ORDER BY size ASC LIMIT 101;

-- Checkpoints, after a cursor
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE institution_id = $1 AND size > $2
    ORDER BY size ASC LIMIT 101;

-- Checkpoints, before a cursor
SELECT institution_id, size, at, note, balances
    FROM journal_checkpoints
    WHERE institution_id = $1 AND size < $2
    ORDER BY size DESC LIMIT 101;

-- SecurityEvents
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    ORDER BY id ASC LIMIT 101;

-- SecurityEvents, after a cursor
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE id > $1
    ORDER BY id ASC LIMIT 101;

-- SecurityEvents, before a cursor
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE id < $1
    ORDER BY id DESC LIMIT 101;

-- SecurityEvents, of a period
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE id >= $1 AND id < $2
    ORDER BY id ASC LIMIT 101;

-- SecurityEvents, of an institution
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE institution_id = $1
    ORDER BY id ASC LIMIT 101;

-- SecurityEvents, of an actor
SELECT id, at, institution_id, actor, code, method, path, client, request_id, last_at, count
    FROM security_events
    WHERE actor = $1
    ORDER BY id ASC LIMIT 101;
