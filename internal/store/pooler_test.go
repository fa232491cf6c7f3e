package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/storetest"
)

// Through a pooler whose transactions have another session each, the store is what it is
// without one.
func TestPostgresThroughAPooler(t *testing.T) {
	t.Parallel()
	pooler := pgtest.Shared(t).Pooler(t, "transaction")
	storetest.Run(t, func(t *testing.T) *store.Store {
		return open(t, pooler.Through(t, pgtest.Shared(t).NewDatabase(t)))
	})
}

// Every group is durable and can be cut off, with the lock and without, and no session keeps
// what a transaction was given.
func TestATransactionBehindAPoolerHasSettingsOfItsOwn(t *testing.T) {
	t.Parallel()
	direct := pgtest.Shared(t).NewDatabase(t)
	through := pgtest.Shared(t).Pooler(t, "transaction").Through(t, direct)
	s := open(t, through)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const current = "concat_ws(' ', current_setting('synchronous_commit'), current_setting('idle_in_transaction_session_timeout'))"
	before, unset := connect(t, direct), ""
	if err := before.QueryRow(t.Context(), "SELECT "+current).Scan(&unset); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Exec(t.Context(), `CREATE TABLE settings (value text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO settings VALUES (`+current+`); RETURN NEW; END $$;
		CREATE TRIGGER note AFTER INSERT ON journal_entries FOR EACH ROW EXECUTE FUNCTION note()`); err != nil {
		t.Fatal(err)
	}

	random := rand.New(rand.NewPCG(2027, 3))
	made, err := appendTo(t.Context(), s, random, escrow.InstitutionID{})
	if err != nil {
		t.Fatal(err)
	}
	const groups = 8 // The last ones have no lock before they are committed.
	for range groups {
		if _, err := appendTo(t.Context(), s, random, made[0].InstitutionID); err != nil {
			t.Fatal(err)
		}
	}

	var good, all int
	err = before.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE value = 'on 15s'), count(*) FROM settings").Scan(&good, &all)
	if err != nil || good != all || all != groups+1 {
		t.Errorf("%d of %d groups have the settings, of %d, %v", good, all, groups+1, err)
	}
	other := connect(t, through)
	for range 2 * groups {
		var left string
		if err := other.QueryRow(t.Context(), "SELECT "+current, pgx.QueryExecModeSimpleProtocol).Scan(&left); err != nil || left != unset {
			t.Fatalf("a session is left with %q, %v, want %q", left, err, unset)
		}
	}
}

// The connection to a pooler stays while the database behind it becomes another one.
func TestAnotherDatabaseBehindAPoolerIsNoticed(t *testing.T) {
	t.Parallel()
	direct := pgtest.Shared(t).NewDatabase(t)
	s := open(t, pgtest.Shared(t).Pooler(t, "transaction").Through(t, direct))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, changed := s.IdentityChangedAt(); changed {
		t.Fatal("the database is another one from the first")
	}

	config, err := pgx.ParseConfig(direct)
	if err != nil {
		t.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	maintenance, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = maintenance.Close(context.WithoutCancel(t.Context())) })
	for _, statement := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "CREATE DATABASE " + name + " TEMPLATE template0"} {
		if _, err := maintenance.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, direct).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The pooler tries again a second after it found no such database.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.CheckSchema(t.Context()) != nil {
		<-tick.C
	}
	if _, changed := s.IdentityChangedAt(); !changed {
		t.Error("a read from another database shows nothing")
	}
}

// A parameter that a pooler ignores would be lost in silence.
func TestAParameterThatAPoolerDoesNotPassOnIsRefused(t *testing.T) {
	t.Parallel()
	through := pgtest.Shared(t).Pooler(t, "session").Through(t, pgtest.Shared(t).NewDatabase(t))
	s := open(t, through+"&search_path=elsewhere")
	if err := s.CheckSchema(t.Context()); !errors.Is(err, store.ErrPoolerParameter) {
		t.Errorf("it is taken with the error %v, want %v", err, store.ErrPoolerParameter)
	}
}

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
