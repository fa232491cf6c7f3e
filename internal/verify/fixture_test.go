package verify_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// originals are what fixtures are copies of, by store: to write each anew would take several
// times as long as the tests.
var originals = map[string]*original{"sqlite": {}, "postgres": {}}

type original struct {
	once      sync.Once
	file      []byte // Of SQLite's database.
	example   journaltest.Example
	positions []escrow.PositionID
}

func newFixture(t *testing.T, kind string) *fixture {
	t.Helper()
	o := originals[kind]
	databaseURL := o.copied(t, kind)

	s, err := store.Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	f := &fixture{
		Writer: journaltest.On(t, s, databaseURL), Example: o.example, t: t,
		positions: append([]escrow.PositionID{}, o.positions...),
	}
	f.forget()
	return f
}

// copied copies the original, which it makes at the first call, and returns the URL.
func (o *original) copied(t *testing.T, kind string) string {
	t.Helper()
	if kind == "postgres" {
		return pgtest.Shared(t).CopyOf(t, "fixture", func(databaseURL string) { o.fill(t, databaseURL) })
	}

	o.once.Do(func() {
		path := filepath.Join(t.TempDir(), "original.db")
		o.fill(t, "sqlite:"+path)
		o.file = must(os.ReadFile(path))
	})
	path := filepath.Join(t.TempDir(), "escrowgrid.db")
	if err := os.WriteFile(path, o.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + path
}

// fill writes the original, in a test of its own, at whose end the database is closed.
func (o *original) fill(t *testing.T, databaseURL string) {
	t.Helper()
	t.Run("original", func(t *testing.T) {
		w := journaltest.Open(t, databaseURL)
		f := &fixture{Writer: w, t: t, Example: w.Example()}
		w.Clerk(f.Example)
		f.forget()
		for _, count := range []int{firstPositions, 3} {
			f.positions = append(f.positions, w.Positions(f.Example, count)...)
			f.sign()
		}
		f.positions = append(f.positions, w.Positions(f.Example, 1)...)
		w.Institution() // A neighbour, without a checkpoint.
		o.example, o.positions = f.Example, f.positions
	})
}
