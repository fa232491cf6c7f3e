package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb" // the file system behind sqlite::memory:
	"github.com/pressly/goose/v3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// sqlite is one file with one connection that writes and some that read. In
// write-ahead mode readers and the writer do not wait for each other.
type sqlite struct {
	dsn string
	// path is the file's; "" in memory.
	path string
	// place keeps a second process away, and tells when the file has moved; nil in memory.
	place *place
	// writer and readers hold the connections that are not in use. A reader that
	// was not opened yet is nil.
	writer  chan *sqliteConn
	readers chan *sqliteConn
	cache   *rowCache
	// unscrubbed says that the log can still have what was erased; see scrub.
	unscrubbed atomic.Bool
}

// maxIdleLog is how large the write-ahead log stays when it is begun again, in bytes: twice
// what it grows to between two checkpoints, so that it is cut only after it grew beyond its
// measure.
const maxIdleLog = 32 << 20

// busyTimeout is how long a connection waits for another, in milliseconds.
const busyTimeout = "10000"

// openSQLite opens the file at a path, or, for ":memory:", a database that ends
// with the process.
func openSQLite(ctx context.Context, path string, connections int, cache *rowCache) (_ database, err error) {
	if connections == 0 {
		connections = max(4, 2*runtime.GOMAXPROCS(0))
	}

	s := &sqlite{writer: make(chan *sqliteConn, 1), readers: make(chan *sqliteConn, connections), cache: cache}
	if path == ":memory:" {
		s.dsn = "file:/" + rand.Text() + "?vfs=memdb&_pragma=busy_timeout(10000)&_pragma=journal_mode(memory)"
	} else if err := s.openFile(path); err != nil {
		return nil, err
	}
	// Whoever had the file before may have been killed between an erasure and its scrub.
	s.unscrubbed.Store(true)

	s.dsn += "&_pragma=foreign_keys(on)&_pragma=recursive_triggers(on)"
	writer, err := openSQLiteConn(ctx, s.dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.place.release())
	}
	// From its first read on, the connection keeps the files beside the database there: without
	// it, another that closes, such as a migration's, would be the last and remove them.
	err = writer.db.Exec("SELECT COUNT(*) FROM sqlite_schema")
	if err == nil {
		err = s.noteCompanions()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), writer.close(), s.place.release())
	}

	s.writer <- writer
	for range connections {
		s.readers <- nil
	}
	return s, nil
}

// openFile makes the file where there is none, and takes it for this process.
func (s *sqlite) openFile(path string) error {
	if path == "" {
		return errors.New("the database URL has no path: write sqlite:escrowgrid.db")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	s.path = path

	if err := registerGatheringVFS(); err != nil {
		return err
	}
	if s.place, err = claimPlace(path); err != nil {
		return err
	}
	if err := makeShared(path); err != nil {
		return errors.Join(err, s.place.release())
	}

	// modeof gives the log beside the database the permissions of the database.
	// SQLite takes a plus sign for itself. busy_timeout comes first: the pragmas
	// behind it may have to wait. The log grows while a reader keeps it from being begun
	// again, such as a backup; behind it, journal_size_limit gives the space back.
	s.dsn = "file:" + (&url.URL{Path: path}).EscapedPath() + "?vfs=" + gatheringVFSName +
		"&modeof=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20") +
		"&_pragma=busy_timeout(" + busyTimeout + ")&_pragma=journal_mode(wal)&_pragma=synchronous(full)" +
		"&_pragma=secure_delete(on)&_pragma=wal_autocheckpoint(4000)" +
		"&_pragma=journal_size_limit(" + strconv.Itoa(maxIdleLog) + ")"
	return nil
}

// noteCompanions remembers the files that SQLite keeps beside the database while it is open.
func (s *sqlite) noteCompanions() error {
	if s.place == nil {
		return nil
	}
	return errors.Join(s.place.note(s.path+"-wal"), s.place.note(s.path+"-shm"), s.place.check())
}

// makeShared makes the memory that the connections to a file share, with the permissions of
// the file: SQLite would make it with those of any new file, and whoever can read it can
// keep all others from writing, by locks.
func makeShared(path string) error {
	about, err := os.Stat(path)
	if err != nil {
		return err
	}
	//nolint:gosec // The operator says where.
	file, err := os.OpenFile(path+"-shm", os.O_CREATE|os.O_RDWR, about.Mode().Perm())
	if err != nil {
		return err
	}
	// Another program may have made it.
	return errors.Join(file.Chmod(about.Mode().Perm()), file.Close())
}

func (s *sqlite) name() string      { return "sqlite" }
func (s *sqlite) isExclusive() bool { return true }
func (s *sqlite) sendsWhole() bool  { return false }

// close waits for the connections that are in use.
func (s *sqlite) close() error {
	var errs []error
	closing := func(conn *sqliteConn) {
		// The last one removes what is beside the database, by name: another database's by now.
		if s.place.check() != nil {
			_, err := conn.db.FileControl("main", sqlite3.FCNTL_PERSIST_WAL, true)
			errs = append(errs, err)
		}
		errs = append(errs, conn.close())
	}

	for range cap(s.readers) {
		if reader := <-s.readers; reader != nil {
			closing(reader)
		}
	}
	closing(<-s.writer)
	return errors.Join(append(errs, s.place.release())...)
}

func (s *sqlite) connections() (open, used, limit int) {
	used = cap(s.readers) - len(s.readers) + cap(s.writer) - len(s.writer)
	limit = cap(s.readers) + cap(s.writer)
	return limit, used, limit
}

// space counts the log beside the file as well: commits go there first.
func (s *sqlite) space() (size, free int64, ok bool) {
	if s.path == "" {
		return 0, 0, false
	}
	for _, suffix := range []string{"", "-wal"} {
		if file, err := os.Stat(s.path + suffix); err == nil {
			size += file.Size()
		}
	}
	free, ok = FreeSpace(filepath.Dir(s.path))
	return size, free, ok
}

// takeConn waits for a connection of a pool.
func takeConn(ctx context.Context, pool chan *sqliteConn) (*sqliteConn, error) {
	select {
	case conn := <-pool:
		return conn, nil
	default:
	}

	ctx, span := startWait(ctx)
	defer span.End()
	select {
	case conn := <-pool:
		return conn, nil
	case <-ctx.Done():
		return nil, kinded{ErrUnavailable, ctx.Err()}
	}
}

// snapshot needs to ask the database only the first time: nobody else writes to it.
func (s *sqlite) snapshot(ctx context.Context, institution escrow.InstitutionID) (snapshot, error) {
	at, ok, evictions := s.cache.known(institution)
	if ok {
		return at, nil
	}
	err := s.query(ctx, headTable.byKey, []any{idArg(institution)}, func(r row) error {
		h, err := headTable.scan(r)
		at = s.cache.observeAlone(institution, h.Head, evictions)
		return err
	})
	return at, err
}

func (s *sqlite) query(ctx context.Context, sql string, args []any, scan func(row) error) (err error) {
	conn, err := takeConn(ctx, s.readers)
	if err != nil {
		return err
	}
	if conn == nil {
		if conn, err = s.openReader(ctx); err != nil {
			s.readers <- nil
			return classify(err)
		}
	}
	defer func() { s.readers <- conn }()
	return classify(conn.traced(ctx, sql, args, scan))
}

// openReader opens a connection that reads, by the names of the files.
func (s *sqlite) openReader(ctx context.Context) (*sqliteConn, error) {
	if err := s.place.check(); err != nil {
		return nil, err
	}
	conn, err := openSQLiteConn(ctx, s.dsn+"&_pragma=query_only(on)")
	if err != nil {
		return nil, err
	}
	// It leads to another database where that has taken the place meanwhile.
	if err := s.place.check(); err != nil {
		return nil, errors.Join(err, conn.close())
	}
	return conn, nil
}

// list is query: the migration tells the planner how large the tables will be.
func (s *sqlite) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return s.query(ctx, sql, args, scan)
}

// checkWritable has no more to ask: a file that cannot be written to is not opened.
func (s *sqlite) checkWritable(context.Context) error { return s.place.check() }

func (s *sqlite) hasMoved() <-chan struct{} { return s.place.hasMoved() }

// others finds nothing: the file has this process alone.
func (s *sqlite) others(context.Context) (int64, error) { return 0, nil }

// endAbandoned finds nothing: the file has this process alone.
func (s *sqlite) endAbandoned(context.Context, time.Duration) (int, error) { return 0, nil }

func (s *sqlite) transact(ctx context.Context, fill func(changeSink) error) error {
	conn, err := takeConn(ctx, s.writer)
	if err != nil {
		return err
	}
	defer func() { s.writer <- conn }()

	if err := s.place.check(); err != nil {
		return err
	}
	err = conn.run(ctx, "BEGIN IMMEDIATE", nil, nil)
	if err == nil {
		err = fill(sqliteSink{ctx, conn})
	}
	if err == nil {
		err = conn.run(ctx, "COMMIT", nil, nil)
	}
	if err == nil {
		return s.place.check()
	}
	if !conn.db.GetAutocommit() {
		_ = conn.run(context.WithoutCancel(ctx), "ROLLBACK", nil, nil)
	}
	return classify(err)
}

func (s *sqlite) exec(ctx context.Context, sql string, args []any) (int64, error) {
	conn, err := takeConn(ctx, s.writer)
	if err != nil {
		return 0, err
	}
	defer func() { s.writer <- conn }()
	if err := s.place.check(); err != nil {
		return 0, err
	}
	if err := conn.traced(ctx, sql, args, nil); err != nil {
		return 0, classify(err)
	}
	return conn.db.Changes(), s.place.check()
}

// ifLeader runs the work: no other process shares the database.
func (s *sqlite) ifLeader(ctx context.Context, _ Duty, work func(context.Context) error) (bool, error) {
	return true, work(ctx)
}

func (s *sqlite) migrate(ctx context.Context) error {
	db, err := driver.Open(s.dsn)
	if err != nil {
		return err
	}
	return errors.Join(migrateUp(ctx, goose.DialectSQLite3, db, "migrations/sqlite"), db.Close())
}

// identify has nothing to note: the database is the same, or has moved.
func (s *sqlite) identify(context.Context) error { return s.place.check() }

// behind is empty, as nobody else writes to the file.
func (s *sqlite) behind(context.Context, []head) ([]escrow.InstitutionID, error) { return nil, nil }

// confirm has nothing to wait for: what can be read is on the disk.
func (s *sqlite) confirm(context.Context, []head) ([]escrow.InstitutionID, error) { return nil, nil }
