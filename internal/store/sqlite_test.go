package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// What is in the database is for its owner alone, also while it is still in the
// log beside it.
func TestSQLiteFilesAreReadableByTheirOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private.db")
	s, err := store.Open(t.Context(), "sqlite:"+path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	attempt := escrow.SecurityEvent{ID: escrow.EntryID{1}, At: time.Now(), Actor: "unknown", LastAt: time.Now(), Count: 1}
	if err := s.AddSecurityEvents(t.Context(), []escrow.SecurityEvent{attempt}); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		status, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if mode := status.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has the mode %o, want 600", filepath.Base(file), mode)
		}
	}
}
