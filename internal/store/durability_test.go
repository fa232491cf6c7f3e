package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// What is acknowledged is on the disk. The server of the tests leaves that out
// where nobody asks for it.
func TestCommitsAreDurable(t *testing.T) {
	for _, test := range []struct{ databaseURL, setting, want string }{
		{"sqlite:" + filepath.Join(t.TempDir(), "e.db"), "PRAGMA journal_mode", "wal"},
		{"sqlite:" + filepath.Join(t.TempDir(), "e.db"), "SELECT CAST(synchronous AS text) FROM pragma_synchronous", "2"}, // FULL
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

// A reader that takes long, such as a backup, lets the write-ahead log grow. Behind it, the
// log gives the disk back.
func TestTheWriteAheadLogShrinksBehindALongReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	s, err := Open(t.Context(), "sqlite:"+path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	db, ok := s.database.(*sqlite)
	if !ok {
		t.Fatalf("the store is on %T", s.database)
	}
	write := func(megabytes int) {
		t.Helper()
		for range megabytes {
			if _, err := db.exec(t.Context(), "INSERT INTO filling VALUES (zeroblob(1 << 20))", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	logSize := func() int64 {
		t.Helper()
		log, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return log.Size()
	}

	if _, err := db.exec(t.Context(), "CREATE TABLE filling (content)", nil); err != nil {
		t.Fatal(err)
	}
	reader, err := openSQLiteConn(t.Context(), fileURI(path)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"BEGIN", "SELECT * FROM filling"} {
		if err := reader.run(t.Context(), sql, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	write(2 * maxIdleLog >> 20)
	if size := logSize(); size <= maxIdleLog {
		t.Fatalf("beside a reader the log has %d bytes: it was to grow", size)
	}

	if err := reader.close(); err != nil {
		t.Fatal(err)
	}
	// The first of these checkpoints the log, and the next begins it again.
	write(2)
	if size := logSize(); size > maxIdleLog {
		t.Errorf("behind the reader the log still has %d bytes", size)
	}
}
