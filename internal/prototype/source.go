package prototype

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// source is the prototype's database as it was when it was opened: one transaction that changes
// nothing.
type source struct {
	conn *pgx.Conn
	tx   pgx.Tx
}

// openSource opens a database that the prototype's migrations or its schema.sql have made.
func openSource(ctx context.Context, databaseURL string) (*source, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("the PostgreSQL URL is not valid") // The driver's error holds the password.
	}
	config.RuntimeParams["application_name"] = "escrowgrid import"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}

	s := &source{conn: conn}
	s.tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		// An import waits for its target in the middle of the transaction.
		_, err = s.tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL timezone = 'UTC'")
	}
	if err == nil {
		err = s.checkTables(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close(ctx))
	}
	return s, nil
}

func (s *source) close(ctx context.Context) error { return s.conn.Close(context.WithoutCancel(ctx)) }

// tables are those that the prototype cannot be without.
var tables = []string{
	"institutions", "asset_templates", "assets", "positions", "position_events", "ledger_events", "api_keys",
	"audit_events", "institution_policies",
}

// checkTables refuses another database: one of EscrowGrid has institutions, too.
func (s *source) checkTables(ctx context.Context) error {
	for _, table := range tables {
		if found, err := s.has(ctx, table); err != nil || !found {
			return errors.Join(err, fmt.Errorf("it is no database of the prototype: there is no table %s", table))
		}
	}
	return nil
}

func (s *source) has(ctx context.Context, table string) (found bool, err error) {
	err = s.tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&found)
	return found, err
}

// rows reads all rows of a query, whose columns are the fields of T in order.
func rows[T any](ctx context.Context, s *source, sql string, args ...any) ([]T, error) {
	// Statements are not prepared: those that fetch from a cursor are alike, and their rows are not.
	found, err := s.tx.Query(ctx, sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowToStructByPos[T])
}

// pageSize is how many rows are read, and imported in one transaction.
const pageSize = 200

// eachPage calls a function with the rows of a query, page by page.
func eachPage[T any](ctx context.Context, s *source, use func([]T) error, sql string, args ...any) error {
	if _, err := s.tx.Exec(ctx, "DECLARE pages NO SCROLL CURSOR FOR "+sql, args...); err != nil {
		return err
	}

	for {
		page, err := rows[T](ctx, s, fmt.Sprintf("FETCH %d FROM pages", pageSize))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			_, err := s.tx.Exec(ctx, "CLOSE pages")
			return err
		}
		if err := use(page); err != nil {
			return err
		}
	}
}

// The rows of the prototype's tables, in the order in which they are read. JSON is as PostgreSQL
// writes it, and amounts are the digits that it keeps: no number passes through a float.

type institutionRow struct {
	ID                 string
	Name               string
	Regions, Verticals []string
}

type templateRow struct {
	ID, Code, Name, Vertical, Region string
	Config                           []byte
}

type assetRow struct {
	ID, TemplateID, Label string
	Metadata              []byte
	CreatedAt, UpdatedAt  time.Time
}

type positionRow struct {
	ID, AssetID, HolderReference, Currency, Amount, State string
	ExternalReference                                     *string
	CreatedAt, UpdatedAt                                  time.Time
}

type eventRow struct {
	ID, PositionID string
	FromState      *string
	ToState        string
	Reason         *string
	Metadata       []byte
	At             time.Time
}

type ledgerRow struct {
	ID, Kind, PositionID string
	PreviousState, State *string
}

type policyRow struct {
	ID, Region string
	Config     []byte
}

type keyRow struct {
	ID, Label, Role string
	RevokedAt       *time.Time
}

type auditRow struct {
	ID, Action               string
	ResourceID, KeyID, State *string
}

// identified is a row of which only its id is told.
type identified struct{ ID string }

func (s *source) institutions(ctx context.Context) ([]institutionRow, error) {
	return rows[institutionRow](ctx, s, "SELECT id, name, regions, verticals FROM institutions ORDER BY created_at, id")
}

func (s *source) templates(ctx context.Context, of string) ([]templateRow, error) {
	return rows[templateRow](ctx, s, `SELECT id, code, name, vertical, region, config FROM asset_templates
		WHERE institution_id = $1 ORDER BY created_at, id`, of)
}

func (s *source) eachAssets(ctx context.Context, of string, use func([]assetRow) error) error {
	return eachPage(ctx, s, use, `SELECT id, template_id, label, metadata, created_at, updated_at FROM assets
		WHERE institution_id = $1 ORDER BY created_at, id`, of)
}

func (s *source) eachPositions(ctx context.Context, of string, use func([]positionRow) error) error {
	return eachPage(ctx, s, use, `SELECT id, asset_id, holder_reference, currency, amount::text, state,
			external_reference, created_at, updated_at
		FROM positions WHERE institution_id = $1 ORDER BY created_at, id`, of)
}

func (s *source) events(ctx context.Context, positions []string) ([]eventRow, error) {
	return rows[eventRow](ctx, s, `SELECT id, position_id, from_state, to_state, reason, metadata, at
		FROM position_events WHERE position_id = ANY ($1) ORDER BY position_id, at, created_at, id`, positions)
}

func (s *source) ledger(ctx context.Context, positions []string) ([]ledgerRow, error) {
	return rows[ledgerRow](ctx, s, `SELECT id, kind, position_id, previous_state, new_state
		FROM ledger_events WHERE position_id = ANY ($1) ORDER BY position_id, at, created_at, id`, positions)
}

func (s *source) policies(ctx context.Context, of string) ([]policyRow, error) {
	return rows[policyRow](ctx, s, `SELECT id, region, config FROM institution_policies
		WHERE institution_id = $1 ORDER BY region`, of)
}

func (s *source) keys(ctx context.Context, of string) ([]keyRow, error) {
	return rows[keyRow](ctx, s, `SELECT id, label, role, revoked_at FROM api_keys
		WHERE institution_id = $1 ORDER BY created_at, id`, of)
}

func (s *source) eachAudit(ctx context.Context, use func([]auditRow) error) error {
	return eachPage(ctx, s, use, `SELECT id, action, resource_id, api_key_id, payload->>'toState' FROM audit_events
		ORDER BY occurred_at, id`)
}

// onchain returns what waited for a chain. An older database has no table for it.
func (s *source) onchain(ctx context.Context) ([]identified, error) {
	const table = "onchain_pending_operations"
	if found, err := s.has(ctx, table); err != nil || !found {
		return nil, err
	}
	return rows[identified](ctx, s, "SELECT id FROM "+table+" ORDER BY created_at, id")
}
