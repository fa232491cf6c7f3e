package store_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/store/storetest"
)

// openAsServer migrates a new database as its owner, and returns the URL of a role that has
// nothing but what serving takes.
func openAsServer(t *testing.T) (ownerURL, serverURL string) {
	t.Helper()
	ownerURL = pgtest.Shared(t).NewDatabase(t)
	parsed, err := url.Parse(ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	role := "serving " + strings.Trim(parsed.Path, "/")
	exec(t, ownerURL, "CREATE ROLE "+pgx.Identifier{role}.Sanitize()+" LOGIN PASSWORD 'serving'")
	t.Cleanup(func() {
		exec(t, ownerURL, "DROP OWNED BY "+pgx.Identifier{role}.Sanitize()+"; DROP ROLE "+pgx.Identifier{role}.Sanitize())
	})
	owner := open(t, ownerURL)
	if err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // As each migration does.
		if err := owner.GrantServing(t.Context(), role); err != nil {
			t.Fatal(err)
		}
	}
	parsed.User = url.UserPassword(role, "serving")
	return ownerURL, parsed.String()
}

func exec(t *testing.T, databaseURL, statement string) {
	t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(context.WithoutCancel(t.Context()), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// A server does all that it does with a role that can do little else.
func TestPostgresAsAServersRole(t *testing.T) {
	storetest.RunMigrated(t, func(t *testing.T) *store.Store {
		_, serverURL := openAsServer(t)
		return open(t, serverURL)
	})
}

// Whoever has the server's password can write entries, but change or take away none, nor
// what a row was made with.
func TestAServersRoleCannotChangeWhatIsWritten(t *testing.T) {
	_, serverURL := openAsServer(t)
	s := open(t, serverURL)
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), serverURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range []string{
		"UPDATE journal_entries SET body = body", "DELETE FROM journal_entries", "TRUNCATE journal_entries",
		"UPDATE journal_checkpoints SET note = note", "DELETE FROM journal_checkpoints", "TRUNCATE journal_checkpoints",
		"ALTER TABLE journal_entries DISABLE TRIGGER ALL", "DROP TRIGGER journal_entries_append_only ON journal_entries", "DROP TRIGGER journal_entries_erasure ON journal_entries",
		"ALTER TABLE journal_checkpoints DISABLE TRIGGER ALL", "DROP TABLE journal_entries", "SET session_replication_role = replica",
		"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
		"DELETE FROM journal_heads", "DELETE FROM journal_tiles", "DELETE FROM checkpoint_keys", "UPDATE checkpoint_keys SET verifier_key = ''",
		"UPDATE positions SET amount = amount", "UPDATE positions SET asset_id = id", "DELETE FROM positions",
		"UPDATE institutions SET regions = ''", "DELETE FROM institutions", "UPDATE api_keys SET role = 'admin'", "UPDATE api_keys SET hash = hash",
		"DELETE FROM api_keys", "UPDATE api_keys SET permissions = permissions", "UPDATE api_keys SET restriction = NULL", "UPDATE api_keys SET owner = owner",
		"UPDATE api_keys SET allowed_networks = '[]'", "UPDATE users SET subject = subject", "UPDATE users SET issuer = issuer", "DELETE FROM users", "DELETE FROM identity_providers", "DELETE FROM secrets",
		"UPDATE secrets SET kind = kind", "UPDATE sessions SET hash = hash", "UPDATE sessions SET ends_at = ends_at", "UPDATE sessions SET actor = actor", "TRUNCATE sessions",
		"UPDATE roles SET name = name", "DELETE FROM roles", "TRUNCATE roles", "DELETE FROM api_key_uses", "TRUNCATE api_key_uses",
		"UPDATE api_key_uses SET id = id", "UPDATE assets SET template_id = id", "UPDATE asset_templates SET config = config", "DELETE FROM policies",
		"UPDATE goose_db_version SET version_id = 0", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)",
	} {
		_, err := conn.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != "42501" { // insufficient_privilege
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestEveryTableHasItsGrant(t *testing.T) {
	ownerURL, serverURL := openAsServer(t)
	conn, err := pgx.Connect(t.Context(), ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	parsed := journaltest.Must(url.Parse(serverURL))
	rows, err := conn.Query(t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r'
		AND relnamespace = current_schema()::regnamespace AND NOT has_table_privilege($1, oid, 'SELECT')`, parsed.User.Username())
	if err != nil {
		t.Fatal(err)
	}
	without, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(without) > 0 {
		t.Errorf("the server's role cannot read %q, %v", without, err)
	}
	if err := open(t, "sqlite::memory:").GrantServing(t.Context(), "server"); !errors.Is(err, store.ErrNoRoles) {
		t.Errorf("SQLite answers with %v", err)
	}
}
