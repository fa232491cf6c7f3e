-- The tables of the hand-written pair: the state, a ledger and an audit trail.
CREATE TABLE positions (
	id bigserial PRIMARY KEY,
	institution_id uuid NOT NULL,
	asset_id uuid NOT NULL,
	holder_reference text NOT NULL,
	currency text NOT NULL,
	amount bigint NOT NULL,
	held bigint NOT NULL DEFAULT 0,
	state text NOT NULL DEFAULT 'CREATED',
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledger_events (
	id bigserial PRIMARY KEY,
	position_id bigint NOT NULL,
	kind text NOT NULL,
	body text NOT NULL,
	at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ledger_events (position_id);
CREATE TABLE audit_events (
	id bigserial PRIMARY KEY,
	subject bigint NOT NULL,
	actor text NOT NULL,
	at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE inserts (
	id bigserial PRIMARY KEY,
	body text NOT NULL
);
