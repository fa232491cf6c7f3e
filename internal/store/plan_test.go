package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// planned is a database that notes how it would run each statement. Statements
// that change something are not run.
type planned struct {
	database
	plans *[]string
	// onlyKept and onlyNew leave out what is planned anew each time, and the rest.
	onlyKept, onlyNew bool
}

func (p planned) query(ctx context.Context, sql string, args []any, scan func(row) error) error {
	if !p.onlyNew {
		if err := p.explain(ctx, sql, args); err != nil {
			return err
		}
	}
	return p.database.query(ctx, sql, args, scan)
}

func (p planned) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	if !p.onlyKept {
		if err := p.explain(ctx, sql, args); err != nil {
			return err
		}
	}
	return p.database.list(ctx, sql, args, scan)
}

func (p planned) exec(ctx context.Context, sql string, args []any) (int64, error) {
	return 0, p.explain(ctx, sql, args)
}

func (p planned) explain(ctx context.Context, sql string, args []any) (err error) {
	var lines []string
	switch db := p.database.(type) {
	case *postgres:
		lines, err = db.genericPlan(ctx, sql, len(args))
	default:
		lines, err = all(ctx, p.database, "EXPLAIN QUERY PLAN "+sql, args, func(r row) (line string, err error) {
			var id, parent, unused int64
			err = r.Scan(&id, &parent, &unused, &line)
			return line, err
		})
	}
	*p.plans = append(*p.plans, strings.Join(lines, "\n"))
	return err
}

// genericPlan returns the plan that a connection makes for all values of a
// statement's parameters.
func (p *postgres) genericPlan(ctx context.Context, sql string, parameters int) ([]string, error) {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	values := ""
	if parameters > 0 {
		values = "(" + strings.Repeat("NULL, ", parameters-1) + "NULL)"
	}
	results, err := conn.Conn().PgConn().Exec(ctx,
		"PREPARE planned AS "+sql+"; EXPLAIN (COSTS OFF) EXECUTE planned"+values+"; DEALLOCATE planned").ReadAll()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, line := range results[1].Rows {
		lines = append(lines, string(line[0]))
	}
	return lines, nil
}

// fill gives every table of PostgreSQL so many rows that to scan it is the
// cheapest plan nowhere. The tables are not analyzed.
func fill(ctx context.Context, tx pgx.Tx, body []byte) error {
	for _, sql := range []string{
		`SET LOCAL session_replication_role = replica`, // It looks up no foreign keys.
		`CREATE FUNCTION u(i bigint) RETURNS uuid LANGUAGE sql AS $$ SELECT lpad(to_hex(i), 32, '0')::uuid $$`,
		`CREATE FUNCTION n(rows bigint DEFAULT 5000) RETURNS SETOF bigint LANGUAGE sql AS $$ SELECT generate_series(1, rows) $$`,
		`INSERT INTO institutions SELECT u(i), 'n', '["US"]', '["CONSTRUCTION"]', now(), 1, NULL FROM n() AS i`,
		`INSERT INTO journal_heads SELECT u(i), 6666, now() FROM n() AS i`,
		`INSERT INTO policies (institution_id, region, allowed_currencies, created_at, updated_at)
			SELECT u(i / 4 + 1), i % 4, '[]', now(), now() FROM n() AS i`,
		`INSERT INTO api_keys (institution_id, id, label, role, hash, created_at, expires_at, revoked_at, version)
			SELECT u(i % 3 + 1), u(i), 'l', 'admin', sha256(i::text::bytea), now(), CASE i % 5 WHEN 0 THEN now() + i * interval '1 h' END,
			CASE i % 4 WHEN 0 THEN now() END, 1 FROM n() AS i`,
		`INSERT INTO api_key_uses SELECT u(i % 3 + 1), u(i), now(), '192.0.2.1' FROM n() AS i`,
		`INSERT INTO identity_providers SELECT u(i), 'https://' || i % 999, 'c', 0, 0, NULL, '{}', NULL, 1, now(), now() + i * interval '1 s', NULL FROM n() AS i`,
		`INSERT INTO users SELECT u(i % 3 + 1), u(i), 'https://1', i, 'n', NULL, now(), now() + i * interval '1 s', CASE i % 4 WHEN 0 THEN now() END, 1, 1 FROM n() AS i`,
		`INSERT INTO secrets SELECT u(i / 4 + 1), i % 4, 's', 's', 'k' || i % 3 FROM n() AS i`,
		`INSERT INTO sessions SELECT u(i % 3 + 1), u(i), 'key_' || lpad((i % 99)::text, 26, '0'), sha256(i::text::bytea),
			'[]', 0, NULL::timestamptz, NULL, now(), now() - interval '1 s', now() + i * interval '1 m', 'c', 'a' FROM n() AS i`,
		`INSERT INTO roles SELECT u(i / 4 + 1), i % 4, '[]', 1, now(), now() FROM n() AS i`,
		`INSERT INTO asset_templates SELECT u(i % 3 + 1), u(i), 'c', 'n', 'v', 'r', '{"currency":"USD"}', now(), 1, NULL FROM n() AS i`,
		`INSERT INTO assets SELECT u(i % 3 + 1), u(i), u(i % 99 + 99), 'l', NULL, now(), 1, NULL FROM n() AS i`,
		`INSERT INTO positions SELECT u(i % 3 + 1), u(i), u(i % 99), 'h' || i % 999, CASE i % 10 WHEN 0 THEN 'x' || i END, CASE i % 50 WHEN 0 THEN u(7) END,
			CASE i % 2 WHEN 0 THEN 'USD' ELSE 'JPY' END, 0, 9, 9 * (i % 2), 0, 0, 9 * (i % 2), 0,
			CASE i % 2 WHEN 0 THEN 'CREATED' ELSE 'FUNDED' END, 1, 0, CASE i % 5 WHEN 0 THEN now() + i * interval '1 h' END, NULL, now(), now()
			FROM n(20000) AS i`,
		`INSERT INTO holds SELECT u(i % 3 + 1), u(i), u(i % 99), 'LEGAL', NULL, 0, 0, NULL, 1, CASE i % 10 WHEN 0 THEN 0 ELSE 2 END, now(),
			CASE i % 10 WHEN 0 THEN NULL ELSE now() END FROM n() AS i`,
		`INSERT INTO journal_entries SELECT u((i - 1) % 3 + 1), (i - 1) / 3 + 1, now() + i * interval '1 s', 'a' || i % 99,
			CASE WHEN i % 50 = 0 THEN 'API_KEY_CREATED' ELSE 'POSITION_CREATED' END, 's' || i % 9999, $1 FROM n(20000) AS i`,
		`INSERT INTO approval_rules SELECT u(i), '[]', 1, now(), now() FROM n() AS i`,
		`INSERT INTO approvals SELECT u(i % 3 + 1), u(i), 'apr_' || i, (ARRAY['PENDING', 'EXECUTED', 'REJECTED', 'EXPIRED'])[i % 4 + 1], 'root', '', '', NULL,
			CASE i % 4 WHEN 1 THEN i ELSE 0 END, 1, NULL, NULL::timestamptz, 0, now() + i * interval '1 m', 1, now() + i * interval '1 s', now() FROM n() AS i`,
		`INSERT INTO approval_subjects SELECT u(i % 3 + 1), u(i), 0, 's' || i % 999, 'p', NULL, 0, 0, 0, 'h' || i % 999 FROM n() AS i`,
		`INSERT INTO recent_moves SELECT u(i / 4 + 1), i % 4, '[]' FROM n() AS i`,
		`INSERT INTO journal_checkpoints SELECT u((i - 1) % 3 + 1), (i - 1) / 3 + 1, now(), '', '{}' FROM n() AS i`,
		`INSERT INTO idempotency_records (institution_id, key, fingerprint, subject, sequence, request_id, created_at)
			SELECT u(i % 3 + 1), i, '', 's', 1, 'r', now() + i * interval '1 m' FROM n() AS i`,
		`INSERT INTO security_events SELECT u(i), now(), u(i % 3), 'root', 'c', 'm', 'p', 'c', 'r', now(), 1 FROM n() AS i`,
	} {
		var args []any
		if strings.Contains(sql, "$1") {
			args = []any{body}
		}
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// anEntry is one that can be read.
func anEntry(t *testing.T) escrow.Entry {
	t.Helper()
	command, faults := escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "n", Regions: []string{"US"}})
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	books := escrow.NewBooks(escrow.InstitutionID{}, escrow.Head{}, true)
	if _, err := books.Execute(escrow.Request{Actor: escrow.ActorRoot(), Command: command}, escrow.Stamp{Now: time.Now(), Secret: escrow.Secret{1}}); err != nil {
		t.Fatal(err)
	}
	return books.Entries[0]
}

// reading is a query that must go straight to its rows, by an index and the
// columns that it seeks in it. A list's last one is where its page goes on.
type reading struct {
	name  string
	index string
	seeks []string
	run   func(*Store) error
}

// absent passes an error on, unless it says that a resource is not there.
func absent(err error) error {
	if strings.HasSuffix(string(escrow.ErrorCode(err)), "_not_found") || escrow.ErrorCode(err) == escrow.CodeInvalidKey || escrow.ErrorCode(err) == escrow.CodeInvalidSession {
		return nil
	}
	return err
}

// primary stands for the index of a table's primary key.
const primary = "primary"

func readings(ctx context.Context) []reading {
	const institution, id, sequence = "institution_id", "id", "sequence"
	of := escrow.InstitutionID{15: 1}
	byID := escrow.PageRequest{Limit: 100, After: &escrow.Cursor{15: 9}}
	newest := escrow.PageRequest{Limit: 100, After: &escrow.Cursor{14: 99}, Descending: true}
	bySequence := escrow.PageRequest{Limit: 100, After: new(escrow.SequenceCursor(9))}
	positions := func(filter escrow.PositionFilter) func(*Store) error {
		return func(s *Store) error { _, err := s.Positions(ctx, of, filter, byID); return err }
	}
	entries := func(filter escrow.EntryFilter) func(*Store) error {
		return func(s *Store) error { _, err := s.Entries(ctx, of, filter, bySequence); return err }
	}
	approvals := func(filter escrow.ApprovalFilter) func(*Store) error {
		return func(s *Store) error { _, err := s.Approvals(ctx, of, filter, byID); return err }
	}
	holds := func(filter escrow.HoldFilter) func(*Store) error {
		return func(s *Store) error { _, err := s.holds(ctx, of, filter, byID); return err }
	}
	hour := time.Now()
	return []reading{
		{"institution", primary, []string{id}, func(s *Store) error {
			_, err := s.Institution(ctx, of)
			return absent(err)
		}},
		{"institutions", primary, []string{id}, func(s *Store) error {
			_, err := s.Institutions(ctx, escrow.Period{}, byID)
			return err
		}},
		{"key by hash", "api_keys_hash", []string{"hash"}, func(s *Store) error {
			_, err := s.KeyByHash(ctx, escrow.SecretHash{})
			return absent(err)
		}},
		{"keys", "api_keys_active", []string{institution, id}, func(s *Store) error {
			_, err := s.Keys(ctx, of, escrow.KeyFilter{}, byID)
			return err
		}},
		{"keys, revoked ones too", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Keys(ctx, of, escrow.KeyFilter{IncludeRevoked: true}, byID)
			return err
		}},
		{"last uses of keys", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.KeyUses(ctx, of, []escrow.KeyID{{15: 3}, {15: 6}})
			return err
		}},
		{"keys that end soon", "api_keys_expiry", []string{"expires_at"}, func(s *Store) error {
			_, err := s.ExpiringKeys(ctx, hour, hour, 1000)
			return err
		}},
		{"number of keys that end soon", "api_keys_expiry", []string{"expires_at"}, func(s *Store) error {
			_, err := s.CountExpiringKeys(ctx, hour, hour)
			return err
		}},
		{"user", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.User(ctx, of, escrow.UserID{})
			return absent(err)
		}},
		{"user by who they are", "users_identity", []string{institution, "issuer", "subject"}, func(s *Store) error {
			_, _, err := s.UserByIdentity(ctx, of, escrow.Identity{Issuer: "https://1", Subject: "9"})
			return err
		}},
		{"users", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Users(ctx, of, escrow.UserFilter{}, byID)
			return err
		}},
		{"users, suspended ones too", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Users(ctx, of, escrow.UserFilter{IncludeSuspended: true}, byID)
			return err
		}},
		{"identity provider", primary, []string{institution}, func(s *Store) error {
			_, err := s.IdentityProvider(ctx, of)
			return absent(err)
		}},
		{"identity providers of an issuer", "identity_providers_issuer", []string{"issuer"}, func(s *Store) error {
			_, err := s.ProvidersOf(ctx, "https://9")
			return err
		}},
		{"secret", primary, []string{institution, "kind", "subject"}, func(s *Store) error {
			_, _, err := s.Secret(ctx, of, escrow.ClientSecretName())
			return err
		}},
		{"names of secrets", primary, []string{institution}, func(s *Store) error {
			_, _, err := s.SecretNames(ctx, of)
			return err
		}},
		{"keys of secrets", "secrets_key", []string{"sealed_under"}, func(s *Store) error {
			_, err := s.SecretKeys(ctx)
			return err
		}},
		{"session by hash", "sessions_hash", []string{"hash"}, func(s *Store) error {
			_, err := s.SessionByHash(ctx, escrow.SecretHash{})
			return absent(err)
		}},
		{"session", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Session(ctx, of, escrow.SessionID{})
			return absent(err)
		}},
		{"sessions", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Sessions(ctx, of, nil, byID)
			return err
		}},
		{"sessions of an actor", "sessions_actor", []string{institution, "actor", id}, func(s *Store) error {
			_, err := s.Sessions(ctx, of, new(escrow.ActorKey(escrow.KeyID{15: 2})), byID)
			return err
		}},
		{"roles", primary, []string{institution}, func(s *Store) error {
			_, err := s.Roles(ctx, of)
			return err
		}},
		{"policies", primary, []string{institution}, func(s *Store) error {
			_, err := s.Policies(ctx, of)
			return err
		}},
		{"template", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Template(ctx, of, escrow.TemplateID{})
			return absent(err)
		}},
		{"templates", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Templates(ctx, of, escrow.TemplateFilter{}, byID)
			return err
		}},
		{"asset", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Asset(ctx, of, escrow.AssetID{})
			return absent(err)
		}},
		{"assets", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Assets(ctx, of, escrow.AssetFilter{}, byID)
			return err
		}},
		{"assets of a template", "assets_template", []string{institution, "template_id", id}, func(s *Store) error {
			_, err := s.Assets(ctx, of, escrow.AssetFilter{Template: &escrow.TemplateID{15: 99}}, byID)
			return err
		}},
		{"assets within some templates", "assets_template", []string{institution, "template_id", id}, func(s *Store) error {
			_, err := s.Assets(ctx, of, escrow.AssetFilter{Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{{15: 100}, {15: 101}}}}, byID)
			return err
		}},
		{"position", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Position(ctx, of, escrow.PositionID{})
			return absent(err)
		}},
		{"positions", primary, []string{institution, id}, positions(escrow.PositionFilter{})},
		{"newest positions", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Positions(ctx, of, escrow.PositionFilter{}, newest)
			return err
		}},
		{"positions of a period", primary, []string{institution, id}, func(s *Store) error {
			filter := escrow.PositionFilter{Period: escrow.Period{From: &hour, To: &hour}}
			_, err := s.Positions(ctx, of, filter, escrow.PageRequest{Limit: 100})
			return err
		}},
		{
			"positions on an asset", "positions_asset",
			[]string{institution, "asset_id", id},
			positions(escrow.PositionFilter{Asset: &escrow.AssetID{15: 9}}),
		},
		{
			"positions of a holder", "positions_holder",
			[]string{institution, "holder_reference", id},
			positions(escrow.PositionFilter{HolderReference: "h9"}),
		},
		{
			"positions within some assets", "positions_asset",
			[]string{institution, "asset_id", id},
			positions(escrow.PositionFilter{Within: escrow.Restriction{AssetIDs: []escrow.AssetID{{15: 9}, {15: 10}}}}),
		},
		{
			"positions within some holders", "positions_holder",
			[]string{institution, "holder_reference", id},
			positions(escrow.PositionFilter{Within: escrow.Restriction{HolderReferences: []string{"h8", "h9"}}}),
		},
		{
			"positions within some templates", primary,
			[]string{institution, id},
			positions(escrow.PositionFilter{Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{{15: 100}}}}),
		},
		{"templates of some assets", primary, []string{institution, id}, func(s *Store) error {
			return s.addTemplates(ctx, of, map[escrow.AssetID]escrow.TemplateID{{15: 3}: {}, {15: 6}: {}})
		}},
		{"money of a holder", "positions_holder", []string{institution, "holder_reference"}, func(s *Store) error {
			_, err := s.HolderTotals(ctx, of, "h9")
			return err
		}},
		{
			"positions under a reference", "positions_external",
			[]string{institution, "external_reference", id},
			positions(escrow.PositionFilter{ExternalReference: "x10"}),
		},
		{
			"positions in a state", "positions_state",
			[]string{institution, "state", id},
			positions(escrow.PositionFilter{States: []escrow.State{"FUNDED"}}),
		},
		{
			"positions in one of some states", "positions_state",
			[]string{institution, "state", id},
			positions(escrow.PositionFilter{States: []escrow.State{"FUNDED", "CREATED"}}),
		},
		{"positions by their last steps", primary, []string{institution, sequence}, func(s *Store) error {
			return s.database.query(ctx, stepsForward, []any{idArg(of), int64(1), int64(9999), int64(9)}, func(row) error { return nil })
		}},
		{
			"positions in a currency", "positions_currency",
			[]string{institution, "currency", id},
			positions(escrow.PositionFilter{Currencies: []money.Code{"JPY"}}),
		},
		{"due positions", "positions_due", []string{"expires_at"}, func(s *Store) error {
			_, err := s.DuePositions(ctx, hour, 500)
			return err
		}},
		{"approval rules", primary, []string{institution}, func(s *Store) error {
			_, err := s.ApprovalRules(ctx, of)
			return err
		}},
		{"approval", primary, []string{institution, id}, func(s *Store) error {
			_, err := s.Approval(ctx, of, escrow.ApprovalID{})
			return absent(err)
		}},
		{"holds", primary, []string{institution, id}, holds(escrow.HoldFilter{})},
		{"holds in force", "holds_in_force", []string{institution, id}, holds(escrow.HoldFilter{Status: escrow.HoldInForce})},
		{"holds on a position", "holds_position", []string{institution, "position_id", id}, holds(escrow.HoldFilter{Position: &escrow.PositionID{15: 9}})},
		{"rows of the holds on a position", "holds_position", []string{institution, "position_id"}, func(s *Store) error {
			_, err := s.HoldRows(ctx, of, escrow.PositionID{15: 9})
			return err
		}},
		{"holds in force on positions", "holds_position", []string{institution, "position_id"}, func(s *Store) error {
			_, err := s.HoldsOn(ctx, of, []escrow.PositionID{{15: 8}, {15: 9}})
			return err
		}},
		{"entries of holds", primary, []string{institution, sequence}, func(s *Store) error {
			return s.AddHoldSteps(ctx, of, []escrow.Hold{{Placed: 7, Lifted: 9}})
		}},
		{"approvals", primary, []string{institution, id}, approvals(escrow.ApprovalFilter{})},
		{
			"approvals of a status", "approvals_status",
			[]string{institution, "status", id},
			approvals(escrow.ApprovalFilter{Statuses: []escrow.ApprovalStatus{escrow.ApprovalPending}}),
		},
		{
			"approvals on a subject", "approval_subjects_subject",
			[]string{institution, "subject", "approval_id"},
			approvals(escrow.ApprovalFilter{Subject: "s9"}),
		},
		{
			"approvals that ask for a holder's positions", "approval_subjects_holder",
			[]string{institution, "holder_reference", "approval_id"},
			approvals(escrow.ApprovalFilter{HolderReference: "h9"}),
		},
		{"due approvals", "approvals_due", []string{"expires_at"}, func(s *Store) error {
			_, err := s.DueApprovals(ctx, hour, 500)
			return err
		}},
		{"what pending approvals are about", "approval_subjects_subject", []string{institution, "subject"}, func(s *Store) error {
			// Where the head is not known yet, as one approval could be pending.
			return s.database.query(ctx, pendingOnHere(s), pendingOnArgs(s, of, "s9"), func(row) error { return nil })
		}},
		{"head", primary, []string{institution}, func(s *Store) error {
			_, _, err := s.Head(ctx, of)
			return err
		}},
		{"entries", primary, []string{institution, sequence}, entries(escrow.EntryFilter{})},
		{"entries of the ledger", primary, []string{institution, sequence}, entries(escrow.EntryFilter{LedgerOnly: true})},
		{
			"entries of a frequent kind", primary,
			[]string{institution, sequence},
			entries(escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindPositionCreated}}),
		},
		{
			"entries of some kinds", "journal_entries_kind",
			[]string{institution, "kind", sequence},
			entries(escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindKeyCreated, escrow.KindKeyRevoked}}),
		},
		{
			"entries of another kind", "journal_entries_kind",
			[]string{institution, "kind", sequence},
			entries(escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindKeyCreated}}),
		},
		{
			"entries of an actor", "journal_entries_actor",
			[]string{institution, "actor", sequence},
			entries(escrow.EntryFilter{Actor: new(escrow.ActorRoot())}),
		},
		{
			"entries on a subject", "journal_entries_subject",
			[]string{institution, "subject", sequence},
			entries(escrow.EntryFilter{Subject: "s9"}),
		},
		{"the place of a moment", primary, []string{institution, sequence}, func(s *Store) error {
			_, err := s.FirstSequence(ctx, of, hour)
			if p, ok := s.database.(planned); ok && len(*p.plans) > 0 {
				*p.plans = (*p.plans)[1:] // The first is that of the head.
			}
			return err
		}},
		{"last checkpoint", primary, []string{institution, "size"}, func(s *Store) error {
			_, _, err := s.LastCheckpoint(ctx, of, 9)
			return err
		}},
		{"first checkpoint", primary, []string{institution, "size"}, func(s *Store) error {
			_, _, err := s.FirstCheckpoint(ctx, of, 9)
			return err
		}},
		{"entries as they are stored", primary, []string{institution, sequence}, func(s *Store) error {
			_, err := s.StoredEntries(ctx, of, 3, 9)
			return err
		}},
		{"histories", "journal_entries_subject", []string{institution, "subject"}, func(s *Store) error {
			_, err := s.Histories(ctx, of, []string{"s9", "s10"})
			return err
		}},
		{"claims", primary, []string{institution, id}, func(s *Store) error {
			return s.Claims(ctx, of, []escrow.PositionID{{15: 1}}, map[escrow.PositionID]escrow.Claim{})
		}},
		{"the range of a journal", primary, []string{institution}, func(s *Store) error {
			_, _, err := s.Range(ctx, of)
			return err
		}},
		{"refused attempts", primary, []string{id}, func(s *Store) error {
			_, err := s.SecurityEvents(ctx, escrow.SecurityEventFilter{}, byID)
			return err
		}},
		{"old records", "idempotency_records_created", []string{"created_at"}, func(s *Store) error {
			_, err := s.Purge(ctx, hour, 10)
			return err
		}},
	}
}

// pendingOnHere is the statement of PendingOn for the kind of database, pendingOnArgs are its arguments.
func pendingOnHere(s *Store) string {
	if s.database.isExclusive() {
		return pendingOn.perRow
	}
	return pendingOn.perSet
}

func pendingOnArgs(s *Store, of escrow.InstitutionID, subject string) []any {
	if s.database.isExclusive() {
		return []any{idArg(of), subject}
	}
	return []any{[][16]byte{idArg(of)}, []string{subject}}
}

// bounded are lists that end with their limits, and are counted or merged, and what is walked value by value.
var bounded = regexp.MustCompile(`SCAN (list_\d+|lists|counted|walked)\b`)

// sorts are steps of plans that sort what was sought. Lists that end with their limits may be sorted.
var sorts = regexp.MustCompile(`SEARCH .*\n *USE TEMP B-TREE|(?m)\bSort$`)

// checkNoScan refuses a plan that reads a table from end to end. The log of
// refused attempts, which is bounded, is counted along its primary key.
func checkNoScan(t *testing.T, name, plan string) {
	t.Helper()
	rest := strings.ReplaceAll(plan, "SCAN security_events", "")
	rest = bounded.ReplaceAllString(rest, "")
	if scan := regexp.MustCompile(`Seq Scan on|(?m)^SCAN `).FindString(rest); scan != "" {
		t.Errorf("%s: the plan has a %s:\n%s", name, scan, plan)
	}
}

// checkPlan refuses a plan that does not seek by its index, in the index's order.
func checkPlan(t *testing.T, r reading, plan string) {
	t.Helper()
	index := r.index
	if index == primary {
		index = `(PRIMARY KEY|\w+_pkey|sqlite_autoindex_\w+)`
	}
	access := regexp.MustCompile(`(USING|using|Bitmap Index Scan on)( COVERING)?( INDEX)? ` + index + `[ \n].*(\n.*Index Cond.*)?`).FindString(plan)
	for _, column := range r.seeks {
		if !regexp.MustCompile(`\b` + column + ` ?[=<>]`).MatchString(access) {
			t.Errorf("%s: the index %s is not sought by %s:\n%s", r.name, r.index, column, plan)
		}
	}
	if sorts.MatchString(plan) {
		t.Errorf("%s: the plan sorts what the index has in order:\n%s", r.name, plan)
	}
}

// What a request costs does not grow with the tables.
func TestPlans(t *testing.T) {
	for name, test := range map[string]struct {
		fill, analyze     bool
		onlyKept, onlyNew bool
	}{
		"sqlite": {}, // Its migration tells the planner what the tables will be like.
		// Statements that are planned once, on empty tables, keep their plan until the
		// tables are analyzed, and lists are planned without statistics until then.
		"postgres, empty":          {onlyKept: true},
		"postgres, never analyzed": {fill: true, onlyNew: true},
		"postgres, analyzed":       {fill: true, analyze: true},
	} {
		t.Run(name, func(t *testing.T) {
			databaseURL := "sqlite::memory:"
			if strings.HasPrefix(name, "postgres") {
				databaseURL = pgtest.Shared(t).NewDatabase(t)
			}
			s, err := Open(t.Context(), databaseURL, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if db, ok := s.database.(*postgres); ok && test.fill {
				body := anEntry(t).Body
				if err := pgx.BeginFunc(t.Context(), db.pool, func(tx pgx.Tx) error { return fill(t.Context(), tx, body) }); err != nil {
					t.Fatal(err)
				}
				if test.analyze {
					if _, err := s.database.exec(t.Context(), "ANALYZE", nil); err != nil {
						t.Fatal(err)
					}
				}
			} else if err := s.database.transact(t.Context(), func(sink changeSink) error {
				// One journal that is to be searched.
				return insert(sink, headTable, []head{{escrow.InstitutionID{15: 1}, escrow.Head{Sequence: 1}}})
			}); err != nil {
				t.Fatal(err)
			}
			t.Run("queries seek by an index", func(t *testing.T) {
				testQueries(t, planned{database: s.database, onlyKept: test.onlyKept, onlyNew: test.onlyNew})
			})
			t.Run("lists with several filters scan nothing", func(t *testing.T) { testFilters(t, s) })
			t.Run("batches scan nothing", func(t *testing.T) { testBatches(t, s) })
		})
	}
}

func testQueries(t *testing.T, database planned) {
	for _, r := range readings(t.Context()) {
		var plans []string
		database.plans = &plans
		if err := r.run(newStore(database, newRowCache())); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		if len(plans) == 0 && (database.onlyKept || database.onlyNew) {
			continue
		}
		if len(plans) == 0 {
			t.Fatalf("%s: no plan", r.name)
		}
		for _, plan := range plans {
			checkNoScan(t, r.name, plan)
		}
		checkPlan(t, r, plans[0])
	}
}

// Of several conditions the planner may choose the best.
func testFilters(t *testing.T, s *Store) {
	var plans []string
	planned := newStore(planned{database: s.database, plans: &plans}, newRowCache())
	of, page := escrow.InstitutionID{15: 1}, escrow.PageRequest{Limit: 100, After: &escrow.Cursor{15: 9}, Count: true}
	var positions escrow.PositionFilter
	everyChoice([]func(){
		func() { positions = escrow.PositionFilter{} },
		func() { positions.Asset = &escrow.AssetID{15: 9} },
		func() { positions.HolderReference = "h9" },
		func() { positions.ExternalReference = "x10" },
		func() { positions.States = []escrow.State{"FUNDED"} },
		func() { positions.States = []escrow.State{"FUNDED", "CREATED"} },
		func() { positions.Currencies = []money.Code{"JPY", "USD"} },
		func() { positions.To = new(time.Now()) },
		func() { positions.WithEvents = true },
	}, func() {
		if _, err := planned.Positions(t.Context(), of, positions, page); err != nil {
			t.Fatal(err)
		}
	})
	everyChoice([]func(){
		func() { positions = escrow.PositionFilter{} },
		func() { positions.Within.AssetIDs = []escrow.AssetID{{15: 9}, {15: 10}} },
		func() { positions.Within.HolderReferences = []string{"h8", "h9"} },
		func() { positions.Within.TemplateIDs = []escrow.TemplateID{{15: 100}, {15: 101}} },
		func() { positions.Asset = &escrow.AssetID{15: 9} },
		func() { positions.States = []escrow.State{"FUNDED", "CREATED"} },
	}, func() {
		if _, err := planned.Positions(t.Context(), of, positions, page); err != nil {
			t.Fatal(err)
		}
	})
	// Rows that are within some by their own ids are found one by one, and sorted: they are few.
	var assets escrow.AssetFilter
	everyChoice([]func(){
		func() { assets = escrow.AssetFilter{} },
		func() { assets.Within.AssetIDs = []escrow.AssetID{{15: 10}, {15: 12}} },
		func() { assets.Within.TemplateIDs = []escrow.TemplateID{{15: 100}, {15: 101}} },
		func() { assets.Template = &escrow.TemplateID{15: 100} },
	}, func() {
		_, err := planned.Assets(t.Context(), of, assets, page)
		_, failed := planned.Templates(t.Context(), of, escrow.TemplateFilter{Within: assets.Within}, page)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
	})
	var entries escrow.EntryFilter
	everyChoice([]func(){
		func() { entries = escrow.EntryFilter{} },
		func() { entries.LedgerOnly = true },
		func() { entries.Kinds = []escrow.Kind{escrow.KindKeyCreated} },
		func() { entries.Kinds = []escrow.Kind{escrow.KindPositionCreated, escrow.KindKeyCreated} },
		func() { entries.Actor = new(escrow.ActorRoot()) },
		func() { entries.Subject = "s9" },
		func() { entries.UpTo = 99 },
	}, func() {
		if _, err := planned.Entries(t.Context(), of, entries, page); err != nil {
			t.Fatal(err)
		}
	})
	var approvals escrow.ApprovalFilter
	everyChoice([]func(){
		func() { approvals = escrow.ApprovalFilter{} },
		func() { approvals.Subject = "s9" },
		func() { approvals.HolderReference = "h9" },
		func() { approvals.Statuses = []escrow.ApprovalStatus{escrow.ApprovalPending, escrow.ApprovalFailed} },
		func() { approvals.To = new(time.Now()) },
	}, func() {
		if _, err := planned.Approvals(t.Context(), of, approvals, page); err != nil {
			t.Fatal(err)
		}
	})
	var holds escrow.HoldFilter
	everyChoice([]func(){
		func() { holds = escrow.HoldFilter{} },
		func() { holds.Position = &escrow.PositionID{15: 9} },
		func() { holds.Kinds = escrow.HoldKinds() },
		func() { holds.Status = escrow.HoldInForce },
		func() { holds.ReviewBefore = new(time.Now()) },
		func() { holds.To = new(time.Now()) },
	}, func() {
		if _, err := planned.Holds(t.Context(), of, holds, page); err != nil {
			t.Fatal(err)
		}
	})
	for _, plan := range plans {
		checkNoScan(t, "list", plan)
	}
}

// everyChoice calls the first function, some of the others, and run, for every
// choice of others.
func everyChoice(set []func(), run func()) {
	for chosen := range 1 << (len(set) - 1) {
		set[0]()
		for i, f := range set[1:] {
			if chosen>>i&1 == 1 {
				f()
			}
		}
		run()
	}
}

func testBatches(t *testing.T, s *Store) {
	of, other := escrow.InstitutionID{15: 1}, escrow.InstitutionID{15: 2}
	needs := map[escrow.InstitutionID]escrow.Needs{other: {Institution: true}, of: {
		Institution: true, Policies: true, Roles: true, Provider: true, Secrets: true, Keys: []escrow.KeyID{{15: 3}, {15: 6}},
		Users: []escrow.UserID{{15: 3}, {15: 6}}, Identities: []escrow.Identity{{Issuer: "https://1", Subject: "3"}, {Issuer: "https://1", Subject: "6"}}, Templates: []escrow.TemplateID{{15: 3}},
		Assets: []escrow.AssetID{{15: 3}, {15: 6}}, Positions: []escrow.PositionID{{15: 3}, {15: 6}}, Records: []string{"3", "6"},
		Rules: true, Approvals: []escrow.ApprovalID{{15: 3}, {15: 6}}, PendingOn: []string{"s3", "s6"}, Moves: []string{"1", "2"},
		Holds: []escrow.HoldID{{15: 3}, {15: 6}}, HoldsOn: []escrow.PositionID{{15: 3}, {15: 6}},
	}}
	var plans []string
	sink := &planSink{t, planned{database: s.database, plans: &plans}}
	switch db := s.database.(type) {
	case *postgres:
		var pipeline pgx.Batch
		tx := &postgresTx{needs: needs, books: make(groupBooks)}
		tx.queueLock(&pipeline)
		tx.queueLoads(&pipeline, needs)
		tx.queueReferences(&pipeline, referencesToRead{owners: [][16]byte{{}}, templates: [][16]byte{{}}, texts: []string{""}})
		sink.explainAll(&pipeline)
	case *sqlite:
		batch, err := s.Begin(t.Context(), needs)
		if err != nil {
			t.Fatal(err)
		}
		batch.Rollback(t.Context())
		conn := <-db.writer
		for sql := range conn.statements {
			if strings.HasPrefix(sql, "SELECT ") {
				sink.explain(sql, nil)
			}
		}
		db.writer <- conn
		sink.explain(positionByReference, []any{[16]byte{}, [16]byte{}, ""})
	}
	loads := len(plans)
	if !strings.Contains(plans[loads-1], "positions_reference") {
		t.Errorf("positions are not found by their unique reference:\n%s", plans[loads-1])
	}

	now := escrow.Head{Sequence: 1, At: time.Now()}
	err := errors.Join(
		update(sink, headMoves, []headMove{{of, now, now}, {other, now, now}}),
		update(sink, keyTable, []escrow.APIKey{{InstitutionID: of, ID: escrow.KeyID{15: 3}}, {InstitutionID: of}}),
		update(sink, providerTable, []escrow.IdentityProvider{{InstitutionID: of}, {InstitutionID: other}}),
		update(sink, userTable, []escrow.User{{InstitutionID: of, ID: escrow.UserID{15: 3}}, {InstitutionID: of}}),
		update(sink, secretTable, []OwnedSecret{{InstitutionID: of}, {InstitutionID: other}}),
		update(sink, sessionTable, []escrow.Session{{InstitutionID: of, ID: escrow.SessionID{15: 3}}, {InstitutionID: of}}),
		update(sink, roleTable, []escrow.Role{{InstitutionID: of, Name: "1"}, {InstitutionID: other, Name: "2"}}),
		update(sink, policyTable, []escrow.Policy{{InstitutionID: of, Region: "1"}, {InstitutionID: other, Region: "2"}}),
		update(sink, positionTable, []escrow.Position{{InstitutionID: of, ID: escrow.PositionID{15: 3}}, {InstitutionID: of}}),
		update(sink, holdTable, []escrow.Hold{{InstitutionID: of, ID: escrow.HoldID{15: 3}}, {InstitutionID: of}}),
		update(sink, rulesTable, []escrow.ApprovalRules{{InstitutionID: of}, {InstitutionID: other}}),
		update(sink, approvalTable, []escrow.Approval{{InstitutionID: of, ID: escrow.ApprovalID{15: 3}}, {InstitutionID: of}}),
		update(sink, movesTable, []escrow.RecentMoves{{InstitutionID: of, Of: "1"}, {InstitutionID: other, Of: "2"}}),
	)
	if err != nil || loads < 10 || len(plans) != loads+13 {
		t.Fatalf("%d plans of loads and %d of updates, %v", loads, len(plans)-loads, err)
	}
	for _, plan := range plans {
		checkNoScan(t, "batch", plan)
		// Approvals of a subject that are no longer pending are few, and so are holds on a position that were lifted.
		plan = strings.ReplaceAll(plan, "Filter: ((status = 'PENDING'::text) IS TRUE)", "")
		plan = strings.ReplaceAll(plan, "Filter: ((lifted = 0) IS TRUE)", "")
		if strings.Contains(plan, "Filter:") {
			t.Errorf("the plan reads rows that it drops:\n%s", plan)
		}
	}
}

// planSink explains what it is to write.
type planSink struct {
	t *testing.T
	planned
}

func (s *planSink) write(c change) error {
	if s.name() == "sqlite" {
		s.explain(c.perRow, nil)
		return nil
	}
	var sink postgresSink
	err := sink.write(c)
	s.explainAll(&sink.batch)
	return err
}

func (s *planSink) explainAll(pipeline *pgx.Batch) {
	s.t.Helper()
	for _, queued := range pipeline.QueuedQueries {
		s.explain(queued.SQL, queued.Arguments)
	}
}

func (s *planSink) explain(sql string, args []any) {
	s.t.Helper()
	if err := s.planned.explain(s.t.Context(), sql, args); err != nil {
		s.t.Errorf("%s: %v", sql, err)
	}
}
