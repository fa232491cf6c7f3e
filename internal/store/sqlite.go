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
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	_ "github.com/ncruces/go-sqlite3/vfs/memdb" // the file system behind sqlite::memory:
	"github.com/pressly/goose/v3"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// sqlite is one file with one connection that writes and some that read. In
// write-ahead mode readers and the writer do not wait for each other.
type sqlite struct {
	dsn string
	// path is the file's; "" in memory.
	path string
	// lock keeps a second process away; nil in memory.
	lock *flock.Flock
	// writer and readers hold the connections that are not in use. A reader that
	// was not opened yet is nil.
	writer  chan *sqliteConn
	readers chan *sqliteConn
	*cache
}

// ErrInUse means that another process has the database file open.
var ErrInUse = errors.New("the database is in use by another EscrowGrid process")

// openSQLite opens the file at a path, or, for ":memory:", a database that ends
// with the process.
func openSQLite(ctx context.Context, path string, connections int) (_ backend, err error) {
	if connections == 0 {
		connections = max(4, 2*runtime.GOMAXPROCS(0))
	}
	s := &sqlite{writer: make(chan *sqliteConn, 1), readers: make(chan *sqliteConn, connections), cache: newCache()}
	if path == ":memory:" {
		s.dsn = "file:/" + rand.Text() + "?vfs=memdb&_pragma=busy_timeout(10000)&_pragma=journal_mode(memory)"
	} else if err := s.openFile(path); err != nil {
		return nil, err
	}
	s.dsn += "&_pragma=foreign_keys(on)&_pragma=recursive_triggers(on)"
	writer, err := openSQLiteConn(ctx, s.dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.unlock())
	}
	s.writer <- writer
	for range connections {
		s.readers <- nil
	}
	return s, nil
}

// openFile makes the file where there is none, readable by its owner alone, and
// takes the lock beside it.
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
	s.lock = flock.New(path+".lock", flock.SetPermissions(0o600))
	locked, err := s.lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return fmt.Errorf("%w: %s", ErrInUse, path)
	}
	if err := makePrivate(path); err != nil {
		return errors.Join(err, s.unlock())
	}
	// modeof gives the log beside the database the permissions of the database.
	// SQLite takes a plus sign for itself. busy_timeout comes first: the pragmas
	// behind it may have to wait.
	s.dsn = "file:" + (&url.URL{Path: path}).EscapedPath() + "?vfs=" + gatheringVFSName + "&modeof=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20") +
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=wal_autocheckpoint(4000)"
	return nil
}

// makePrivate makes a file that its owner alone can read, where there is none.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The operator says where.
	if err != nil {
		return err
	}
	return file.Close()
}

func (s *sqlite) unlock() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func (s *sqlite) Name() string    { return "sqlite" }
func (s *sqlite) Exclusive() bool { return true }

// Close waits for the connections that are in use.
func (s *sqlite) Close() error {
	var errs []error
	for range cap(s.readers) {
		if reader := <-s.readers; reader != nil {
			errs = append(errs, reader.close())
		}
	}
	errs = append(errs, (<-s.writer).close(), s.unlock())
	return errors.Join(errs...)
}

func (s *sqlite) Connections() (open, used, limit int) {
	used = cap(s.readers) - len(s.readers) + cap(s.writer) - len(s.writer)
	limit = cap(s.readers) + cap(s.writer)
	return limit, used, limit
}

// Space counts the log beside the file as well: commits go there first.
func (s *sqlite) Space() (size, free int64, ok bool) {
	if s.path == "" {
		return 0, 0, false
	}
	for _, suffix := range []string{"", "-wal"} {
		if file, err := os.Stat(s.path + suffix); err == nil {
			size += file.Size()
		}
	}
	free, ok = freeSpace(filepath.Dir(s.path))
	return size, free, ok
}

// take waits for a connection of a pool.
func take(ctx context.Context, pool chan *sqliteConn) (*sqliteConn, error) {
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

// moment needs to ask the database only the first time: nobody else writes to it.
func (s *sqlite) moment(ctx context.Context, institution escrow.InstitutionID) (moment, error) {
	now, ok, mark := s.known(institution)
	if ok {
		return now, nil
	}
	err := s.query(ctx, "SELECT institution_id, sequence, last_at FROM journal_heads WHERE institution_id = $1",
		[]any{idArg(institution)}, func(r row) error {
			var h head
			err := scanHead(r, &h)
			now = s.learnAlone(institution, h.Head, mark)
			return err
		})
	return now, err
}

func (s *sqlite) query(ctx context.Context, sql string, args []any, scan func(row) error) (err error) {
	conn, err := take(ctx, s.readers)
	if err != nil {
		return err
	}
	if conn == nil {
		if conn, err = openSQLiteConn(ctx, s.dsn+"&_pragma=query_only(on)"); err != nil {
			s.readers <- nil
			return classify(err)
		}
	}
	defer func() { s.readers <- conn }()
	return classify(conn.traced(ctx, sql, args, scan))
}

// list is query: the migration tells the planner how large the tables will be.
func (s *sqlite) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	return s.query(ctx, sql, args, scan)
}

func (s *sqlite) transact(ctx context.Context, fill func(changeSink) error) error {
	conn, err := take(ctx, s.writer)
	if err != nil {
		return err
	}
	defer func() { s.writer <- conn }()
	err = conn.run(ctx, "BEGIN IMMEDIATE", nil, nil)
	if err == nil {
		err = fill(sqliteSink{ctx, conn})
	}
	if err == nil {
		err = conn.run(ctx, "COMMIT", nil, nil)
	}
	if err != nil && !conn.db.GetAutocommit() {
		_ = conn.run(context.WithoutCancel(ctx), "ROLLBACK", nil, nil)
	}
	return classify(err)
}

func (s *sqlite) exec(ctx context.Context, sql string, args []any) (int64, error) {
	conn, err := take(ctx, s.writer)
	if err != nil {
		return 0, err
	}
	defer func() { s.writer <- conn }()
	if err := conn.traced(ctx, sql, args, nil); err != nil {
		return 0, classify(err)
	}
	return conn.db.Changes(), nil
}

// Lead runs the work: no other process shares the database.
func (s *sqlite) Lead(ctx context.Context, _ LeaderName, work func(context.Context) error) (bool, error) {
	return true, work(ctx)
}

func (s *sqlite) Migrate(ctx context.Context) error {
	db, err := driver.Open(s.dsn)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, goose.DialectSQLite3, db, "migrations/sqlite"), db.Close())
}

// sqliteBatch is a transaction on the writing connection.
type sqliteBatch struct {
	store *sqlite
	conn  *sqliteConn
	needs batchNeeds
	books bookSet
}

func (s *sqlite) Begin(ctx context.Context, needs batchNeeds) (Batch, error) {
	conn, err := take(ctx, s.writer)
	if err != nil {
		return nil, err
	}
	batch := &sqliteBatch{store: s, conn: conn, needs: needs, books: make(bookSet, len(needs))}
	err = conn.traced(ctx, "BEGIN IMMEDIATE", nil, nil)
	if err == nil {
		err = batch.loadAll(ctx)
	}
	if err != nil {
		batch.Rollback(ctx)
		return nil, classify(err)
	}
	return batch, nil
}

// loadAll loads the books. Its statements, thousands in a large batch, are one span.
func (b *sqliteBatch) loadAll(ctx context.Context) (err error) {
	_, span := tracing.Start(ctx, "load")
	defer func() { endSpan(span, err) }()
	for _, id := range sorted(b.needs) {
		if err := b.load(ctx, id, b.needs[id]); err != nil {
			return err
		}
	}
	return nil
}

// load reads what the commands on one institution's books need and the cache does
// not have, row by row.
func (b *sqliteBatch) load(ctx context.Context, id escrow.InstitutionID, needs escrow.Needs) error {
	var failed error
	read := func(load func(row) error, columns, from string, args ...any) {
		if failed == nil {
			failed = b.conn.run(ctx, "SELECT "+columns+" FROM "+from, args, load)
		}
	}
	institution := idArg(id)
	b.books[id] = escrow.NewBooks(id, escrow.Head{}, false)
	read(b.books.loadHead, "institution_id, sequence, last_at", "journal_heads WHERE institution_id = $1", institution)
	needs = b.store.cache.fillBooks(b.books[id], needs)
	if needs.Institution {
		read(b.books.loadInstitution, institutionColumns, "institutions WHERE id = $1", institution)
	}
	if needs.Policies {
		read(b.books.loadPolicy, policyColumns, "policies WHERE institution_id = $1", institution)
	}
	const byID = " WHERE institution_id = $1 AND id = $2"
	for _, key := range needs.Keys {
		read(b.books.loadKey, keyColumns, "api_keys"+byID, institution, idArg(key))
	}
	for _, template := range needs.Templates {
		read(b.books.loadTemplate, templateColumns, "asset_templates"+byID, institution, idArg(template))
	}
	for _, asset := range needs.Assets {
		read(b.books.loadAsset, assetColumns, "assets"+byID, institution, idArg(asset))
		read(b.books.loadTemplate, templateColumns, `asset_templates WHERE institution_id = $1
			AND id = (SELECT template_id FROM assets WHERE institution_id = $1 AND id = $2)`, institution, idArg(asset))
	}
	for _, position := range needs.Positions {
		read(b.books.loadPosition, positionColumns, "positions"+byID, institution, idArg(position))
		read(b.books.loadEvent, "body", "journal_entries WHERE institution_id = $1 AND subject = $2 ORDER BY sequence",
			institution, position.String())
	}
	for _, key := range needs.Records {
		read(b.books.loadRecord, recordColumns, "idempotency_records WHERE institution_id = $1 AND key = $2", institution, key)
	}
	return failed
}

func (b *sqliteBatch) Books(id escrow.InstitutionID) *escrow.Books { return b.books[id] }

func (b *sqliteBatch) Commit(ctx context.Context) error {
	defer b.Rollback(ctx)
	// A write is not interrupted by a caller that goes away, only by Close.
	ctx = context.WithoutCancel(ctx)
	if err := writeBooks(sqliteSink{ctx, b.conn}, b.books.list(), false); err != nil {
		return classify(err)
	}
	if err := b.conn.traced(ctx, "COMMIT", nil, nil); err != nil {
		b.store.cache.Forget(sorted(b.needs)...)
		return kinded{ErrOutcomeUnknown, err}
	}
	b.store.cache.keep(b.books, b.needs)
	return nil
}

// Rollback also gives the connection back after a commit.
func (b *sqliteBatch) Rollback(ctx context.Context) {
	if b.conn == nil {
		return
	}
	if !b.conn.db.GetAutocommit() {
		// It fails only where SQLite has rolled back by itself.
		_ = b.conn.run(context.WithoutCancel(ctx), "ROLLBACK", nil, nil)
	}
	b.store.writer <- b.conn
	b.conn = nil
}

// sqliteSink runs one prepared statement for each row.
type sqliteSink struct {
	ctx  context.Context //nolint:containedctx // It lives as long as one commit.
	conn *sqliteConn
}

func (s sqliteSink) write(perRow, _ string, wanted []bool, rows int, row func(int, columns) error) (err error) {
	_, span := startSpan(s.ctx, sqliteSystem, perRow, time.Time{})
	if span.IsRecording() {
		span.SetAttributes(batchSize.Int(rows))
	}
	defer func() { endSpan(span, err) }()
	statement, err := s.conn.prepare(perRow)
	if err != nil {
		return err
	}
	defer s.conn.db.SetInterrupt(s.conn.db.SetInterrupt(s.ctx))
	bound := parameters{statement: statement, cursor: cursor{wanted: wanted}}
	for i := range rows {
		bound.begin()
		if err := row(i, &bound); err != nil {
			return err
		}
		if bound.err != nil {
			return bound.err
		}
		if err := statement.Exec(); err != nil {
			return err
		}
	}
	return nil
}

// sqliteConn is a connection with the statements it has prepared.
type sqliteConn struct {
	db         *sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// maxStatements bounds the statements a connection keeps: more than the program
// has, filters of lists in all their combinations included, but for rare ones.
const maxStatements = 500

func openSQLiteConn(ctx context.Context, dsn string) (*sqliteConn, error) {
	db, err := sqlite3.OpenContext(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return &sqliteConn{db: db, statements: make(map[string]*sqlite3.Stmt)}, nil
}

func (c *sqliteConn) close() error {
	c.forget()
	return c.db.Close()
}

func (c *sqliteConn) forget() {
	for sql, statement := range c.statements {
		_ = statement.Close()
		delete(c.statements, sql)
	}
}

// traced is run, with a span.
func (c *sqliteConn) traced(ctx context.Context, sql string, args []any, scan func(row) error) error {
	ctx, span := startSpan(ctx, sqliteSystem, sql, time.Time{})
	err := c.run(ctx, sql, args, scan)
	endSpan(span, err)
	return err
}

// run runs a statement and calls scan, which may be nil, for each row.
func (c *sqliteConn) run(ctx context.Context, sql string, args []any, scan func(row) error) error {
	statement, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer c.db.SetInterrupt(c.db.SetInterrupt(ctx))
	for i, arg := range args {
		if err := bind(statement, i+1, arg); err != nil {
			return err
		}
	}
	var failed error
	for failed == nil && statement.Step() {
		if scan != nil {
			failed = scan(sqliteRow{statement})
		}
	}
	// Reset repeats SQLite's error, but forgets an interrupt that came before a step.
	interrupted := statement.Err()
	if err := statement.Reset(); err != nil {
		return err
	}
	if interrupted != nil {
		return interrupted
	}
	return failed
}

func (c *sqliteConn) prepare(sql string) (*sqlite3.Stmt, error) {
	if statement, ok := c.statements[sql]; ok {
		return statement, nil
	}
	if len(c.statements) >= maxStatements {
		c.forget()
	}
	// PostgreSQL's $1 is a name to SQLite; ?1 is its number.
	statement, _, err := c.db.PrepareFlags(strings.ReplaceAll(sql, "$", "?"), sqlite3.PREPARE_PERSISTENT)
	if errors.Is(err, sqlite3.ERROR) {
		// SQLite has no code of its own for a table or column that is missing, but
		// that is all that a statement of ours can have against it.
		return nil, kinded{ErrSchemaBehind, err}
	}
	if err != nil {
		return nil, err
	}
	c.statements[sql] = statement
	return statement, nil
}

// bind gives a statement one parameter. Times are microseconds since 1970.
func bind(statement *sqlite3.Stmt, place int, arg any) error {
	switch arg := arg.(type) {
	case nil:
		return statement.BindNull(place)
	case string:
		return statement.BindText(place, arg)
	case *string:
		if arg == nil {
			return statement.BindNull(place)
		}
		return statement.BindText(place, *arg)
	case int64:
		return statement.BindInt64(place, arg)
	case []byte:
		if arg == nil {
			return statement.BindNull(place)
		}
		return statement.BindBlob(place, arg)
	case [16]byte:
		return statement.BindBlob(place, arg[:])
	case time.Time:
		return statement.BindInt64(place, arg.UnixMicro())
	case *time.Time:
		if arg == nil {
			return statement.BindNull(place)
		}
		return statement.BindInt64(place, arg.UnixMicro())
	}
	return fmt.Errorf("sqlite: no way to bind a %T", arg)
}

type sqliteRow struct{ statement *sqlite3.Stmt }

// Scan implements row.
func (r sqliteRow) Scan(destinations ...any) error {
	for column, destination := range destinations {
		null := r.statement.ColumnType(column) == sqlite3.NULL
		switch d := destination.(type) {
		case *string:
			*d = r.statement.ColumnText(column)
		case **string:
			if *d = nil; !null {
				text := r.statement.ColumnText(column)
				*d = &text
			}
		case *int64:
			*d = r.statement.ColumnInt64(column)
		case *[]byte:
			if *d = nil; !null {
				*d = r.statement.ColumnBlob(column, nil)
			}
		case *[16]byte:
			if copy(d[:], r.statement.ColumnRawBlob(column)) != len(d) {
				return fmt.Errorf("sqlite: column %d is not an id", column)
			}
		case *time.Time:
			*d = time.UnixMicro(r.statement.ColumnInt64(column)).UTC()
		case **time.Time:
			if *d = nil; !null {
				at := time.UnixMicro(r.statement.ColumnInt64(column)).UTC()
				*d = &at
			}
		default:
			return fmt.Errorf("sqlite: no way to scan into a %T", destination)
		}
	}
	return r.statement.Err()
}
