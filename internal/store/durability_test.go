package store

import (
	"path/filepath"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// What is acknowledged is on the disk. The server of the tests leaves that out
// where nobody asks for it.
func TestCommitsAreDurable(t *testing.T) {
	for _, test := range []struct{ databaseURL, setting, want string }{
		{"sqlite:" + filepath.Join(t.TempDir(), "e.db"), "PRAGMA journal_mode", "wal"},
		{"sqlite:" + filepath.Join(t.TempDir(), "e.db"), "PRAGMA synchronous", "2"}, // FULL
		{pgtest.Shared(t).NewDatabase(t), "SELECT current_setting('synchronous_commit')", "on"},
	} {
		s, err := Open(t.Context(), test.databaseURL, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		var got string
		read := func(r row) error { return r.Scan(&got) }
		if db, ok := s.database.(*sqlite); ok {
			conn := <-db.writer // It is the writer's that counts.
			err = conn.run(t.Context(), test.setting, nil, read)
			db.writer <- conn
		} else {
			err = s.database.query(t.Context(), test.setting, nil, read)
		}
		if err != nil || got != test.want {
			t.Errorf("%s is %q, %v; want %q", test.setting, got, err, test.want)
		}
	}
}
