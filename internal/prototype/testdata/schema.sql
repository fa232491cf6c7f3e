-- The tables of the prototype as its schema.sql makes them: every column with its type and what it may
-- hold. Indexes, which say nothing about data, are left out but for those that make values unique.
CREATE TABLE institutions (
    id text PRIMARY KEY, name text NOT NULL, regions text[] NOT NULL, verticals text[] NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE asset_templates (
    id text PRIMARY KEY, institution_id text NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    code text NOT NULL, name text NOT NULL, vertical text NOT NULL, region text NOT NULL, config jsonb NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE assets (
    id text PRIMARY KEY, institution_id text NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    template_id text NOT NULL REFERENCES asset_templates (id) ON DELETE CASCADE, label text NOT NULL, metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE positions (
    id text PRIMARY KEY, institution_id text NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    asset_id text NOT NULL REFERENCES assets (id) ON DELETE CASCADE, holder_reference text NOT NULL, currency text NOT NULL,
    amount numeric(32, 8) NOT NULL, state text NOT NULL, external_reference text,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE position_events (
    id text PRIMARY KEY, position_id text NOT NULL REFERENCES positions (id) ON DELETE CASCADE,
    from_state text, to_state text NOT NULL, reason text, at timestamptz NOT NULL, metadata jsonb,
    created_at timestamptz NOT NULL
);
CREATE INDEX ON position_events (position_id);
CREATE TABLE ledger_events (
    id text PRIMARY KEY, kind text NOT NULL, position_id text NOT NULL REFERENCES positions (id) ON DELETE CASCADE,
    at timestamptz NOT NULL, previous_state text, new_state text, payload jsonb, created_at timestamptz NOT NULL
);
CREATE INDEX ON ledger_events (position_id);
CREATE TABLE api_keys (
    id text PRIMARY KEY, institution_id text NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    key_hash text NOT NULL UNIQUE, label text NOT NULL, role text NOT NULL, created_at timestamptz NOT NULL, revoked_at timestamptz
);
CREATE TABLE audit_events (
    id text PRIMARY KEY, occurred_at timestamptz NOT NULL, created_at timestamptz NOT NULL, api_key_id text, institution_id text,
    method text NOT NULL, path text NOT NULL, action text NOT NULL, resource_type text, resource_id text, payload jsonb
);
CREATE TABLE institution_policies (
    id text PRIMARY KEY, institution_id text NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    region text NOT NULL, config jsonb NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL,
    UNIQUE (institution_id, region)
);
CREATE TABLE onchain_pending_operations (
    id text PRIMARY KEY, position_id text NOT NULL REFERENCES positions (id) ON DELETE CASCADE, kind text NOT NULL,
    payload jsonb NOT NULL, attempt_count integer NOT NULL DEFAULT 0, last_attempt_at timestamptz, last_error text,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
