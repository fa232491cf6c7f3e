package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func TestSQLiteFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, "sqlite:"+filepath.Join(t.TempDir(), "e.db")) })
}

func TestSQLiteMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, "sqlite::memory:") })
}

// What the suite has the store issue is in the file of statements.
func TestStatementsAreAllInTheirFile(t *testing.T) {
	file, err := os.ReadFile(store.StatementsFile)
	if err != nil {
		t.Fatal(err)
	}
	var opened []*store.Store
	t.Run("suite", func(t *testing.T) {
		storetest.RunMigrated(t, func(*testing.T) *store.Store {
			// The suite ends before the stores are looked at.
			s, err := store.Open(t.Context(), "sqlite::memory:", 0)
			if err != nil {
				t.Fatal(err)
			}
			opened = append(opened, s)
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
	isKnown := store.InStatements(string(file))
	issued := 0
	for _, s := range opened {
		for _, sql := range store.StatementsOf(s) {
			issued++
			if !isKnown(sql) {
				t.Errorf("%s does not have\n%s", store.StatementsFile, sql)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if issued < 50 {
		t.Errorf("the suite has issued %d statements", issued)
	}
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, pgtest.Shared(t).NewDatabase(t)) })
}

// open opens a store until the test ends.
func open(t *testing.T, databaseURL string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestOpenTellsWhatIsWrongWithAURL(t *testing.T) {
	directory := t.TempDir()
	for name, test := range map[string]struct{ databaseURL, want string }{
		"no scheme":           {"escrowgrid.db", "must begin with sqlite: or postgres://"},
		"another database":    {"mysql://root@localhost/db", "must begin with sqlite: or postgres://"},
		"no path":             {"sqlite:", "has no path"},
		"a path that is none": {"sqlite:" + filepath.Join(directory, "missing", "e.db"), "no such file or directory"},
		"a directory":         {"sqlite:" + directory, "is a directory"},
		"not PostgreSQL's":    {"postgres://user:secret@localhost:port/db", "the PostgreSQL URL is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := store.Open(t.Context(), test.databaseURL, 0)
			if err == nil {
				_ = s.Close()
				t.Fatalf("%s was opened", test.databaseURL)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the error is %q, want one with %q and without the password", err, test.want)
			}
		})
	}
}

func TestASQLiteFileIsOpenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a & b+c %20=?#.db")
	first, err := store.Open(t.Context(), "sqlite:"+path, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := store.Open(t.Context(), "sqlite:"+path, 0)
	if !errors.Is(err, store.ErrInUse) {
		t.Fatalf("a second process would open %v with the error %v, want %v", second, err, store.ErrInUse)
	}
	if want := "the database is in use by another EscrowGrid process: " + path; err.Error() != want {
		t.Errorf("the error says %q, want %q", err, want)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, "sqlite:"+path).Migrate(t.Context()); err != nil {
		t.Errorf("after it was closed: %v", err)
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if status, err := os.Stat(file); err != nil || status.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a file that its owner alone can read", file, status, err)
		}
	}
}

func TestWhatASQLiteFileHoldsOutlivesTheStore(t *testing.T) {
	databaseURL := "sqlite:" + filepath.Join(t.TempDir(), "e.db")
	first, err := store.Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Migrate(t.Context()), first.Close()); err != nil {
		t.Fatal(err)
	}
	if err := open(t, databaseURL).CheckSchema(t.Context()); err != nil {
		t.Errorf("opened again: %v", err)
	}
}

func TestRedactURLShowsNoPassword(t *testing.T) {
	for databaseURL, want := range map[string]string{
		"sqlite:escrowgrid.db":                                  "sqlite:escrowgrid.db",
		"sqlite::memory:":                                       "sqlite::memory:",
		"postgres://localhost/db":                               "postgres://localhost/db",
		"postgres:///db?host=/run":                              "postgres:///db",
		"postgres://user@localhost/db":                          "postgres://user@localhost/db",
		"postgres://user:secret@localhost/db":                   "postgres://user:xxxxx@localhost/db",
		"postgresql://user:secret@one:5432,two:5433/db?a=b":     "postgresql://user:xxxxx@one:5432,two:5433/db",
		"postgres://localhost/db?user=u&password=secret":        "postgres://localhost/db",
		"postgres://user:s%65cret@localhost/db?sslmode=disable": "postgres://user:xxxxx@localhost/db",
		// Typing errors show nothing, rather than a part of the password.
		"postgres://user:12/secret@localhost/db":      "(not a URL)",
		"postgres://user:12#secret@localhost/db":      "(not a URL)",
		"postgres://user:12?secret@localhost/db":      "(not a URL)",
		"postgres://user:%secret@localhost/db":        "(not a URL)",
		"postgres:user:secret@localhost/db":           "(not a URL)",
		"postgres:/user:secret@localhost/db":          "(not a URL)",
		"user:secret@localhost/db":                    "(not a URL)",
		"host=localhost user=user password=secret":    "(not a URL)",
		"postgres://localhost/db password=secret@x":   "(not a URL)",
		"://user:secret@localhost":                    "(not a URL)",
		"mysql://user:secret@localhost/db":            "(not a URL)",
		"POSTGRES://user:secret@localhost/db":         "(not a URL)",
		"postgres://user:secret@localhost/db#s@ecret": "(not a URL)",
	} {
		if got := store.RedactURL(databaseURL); got != want {
			t.Errorf("%s is shown as %s, want %s", databaseURL, got, want)
		}
	}
}
