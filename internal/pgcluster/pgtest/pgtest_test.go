package pgtest

import (
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

func TestMain(m *testing.M) {
	os.Exit(Run(m))
}

func TestPasswordIsRequired(t *testing.T) {
	u, err := url.Parse(Shared(t).NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "wrong")
	if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("connected with a wrong password")
	}
}

func TestShared(t *testing.T) {
	if first, second := Shared(t), Shared(t); first != second {
		t.Error("two shared servers in one process")
	}
}

func TestNewDatabase(t *testing.T) {
	s := Shared(t)
	first, second := s.NewDatabase(t), s.NewDatabase(t)
	if first == second {
		t.Fatalf("two databases have one URL, %s", first)
	}

	conn := connect(t, first)
	if _, err := conn.Exec(t.Context(), "CREATE TABLE only_here ()"); err != nil {
		t.Fatal(err)
	}

	const found = "SELECT (to_regclass('only_here') IS NOT NULL)::text"
	if got := query(t, conn, found); got != "true" {
		t.Error("the table is not in the database it was created in")
	}
	if got := query(t, connect(t, second), found); got != "false" {
		t.Error("the table is in the other database, too")
	}
}

func TestDatabaseIsDroppedWithItsConnections(t *testing.T) {
	s := Shared(t)
	var (
		name string
		left *pgx.Conn
	)
	t.Run("use", func(t *testing.T) {
		u := s.NewDatabase(t)
		var err error
		if left, err = pgx.Connect(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		name = left.Config().Database
	})
	t.Cleanup(func() { _ = left.Close(t.Context()) })

	conn := connect(t, s.cluster.URL("postgres"))
	if got := query(t, conn, "SELECT count(*)::text FROM pg_database WHERE datname = $1", name); got != "0" {
		t.Errorf("database %s is still there", name)
	}
	if err := left.Ping(t.Context()); err == nil {
		t.Error("a connection outlived its database")
	}
}

func TestServerIsRemovedAtTheEndOfTheTest(t *testing.T) {
	var databaseURL string
	t.Run("use", func(t *testing.T) {
		databaseURL = Start(t, pgcluster.WithDurability()).NewDatabase(t)
		query(t, connect(t, databaseURL), "SELECT current_setting('fsync')")
	})
	if conn, err := pgx.Connect(t.Context(), databaseURL); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the server is still running")
	}
}

func connect(t *testing.T, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func query(t *testing.T, conn *pgx.Conn, sql string, args ...any) string {
	t.Helper()
	var value string
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}
