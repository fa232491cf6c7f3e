package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

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
	if errors.Is(failed, errEnough) {
		return nil
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

// Scan implements row. SQLite reads a value of any storage class as one of any other, so two that
// are stored in other ways would look alike: each must be of the class that is written.
func (r sqliteRow) Scan(destinations ...any) error {
	for column, destination := range destinations {
		class := r.statement.ColumnType(column)
		expected, optional := storageClassOf(destination)
		if class != expected && (class != sqlite3.NULL || !optional) {
			return fmt.Errorf("sqlite: %s is stored as %s, not as %s", r.statement.ColumnName(column), class, expected)
		}
		if err := r.scanColumn(column, destination, class == sqlite3.NULL); err != nil {
			return err
		}
	}
	return r.statement.Err()
}

// storageClassOf is the class of what a destination takes; optional says that NULL is taken, too.
func storageClassOf(destination any) (class sqlite3.Datatype, optional bool) {
	switch destination.(type) {
	case *string:
		return sqlite3.TEXT, false
	case **string:
		return sqlite3.TEXT, true
	case *[]byte:
		return sqlite3.BLOB, true
	case *[16]byte:
		return sqlite3.BLOB, false
	case **[16]byte:
		return sqlite3.BLOB, true
	case **time.Time:
		return sqlite3.INTEGER, true
	}

	return sqlite3.INTEGER, false
}

func (r sqliteRow) scanColumn(column int, destination any, null bool) error {
	switch d := destination.(type) {
	case *string:
		*d = r.statement.ColumnText(column)
	case **string:
		if *d = nil; !null {
			*d = new(r.statement.ColumnText(column))
		}

	case *int64:
		*d = r.statement.ColumnInt64(column)

	case *[]byte:
		if *d = nil; !null {
			*d = r.statement.ColumnBlob(column, []byte{})
		}
	case *[16]byte:
		return r.scanID(column, d)
	case **[16]byte:
		if *d = nil; !null {
			*d = new([16]byte)
			return r.scanID(column, *d)
		}

	case *time.Time:
		*d = time.UnixMicro(r.statement.ColumnInt64(column)).UTC()
	case **time.Time:
		if *d = nil; !null {
			*d = new(time.UnixMicro(r.statement.ColumnInt64(column)).UTC())
		}

	default:
		return fmt.Errorf("sqlite: no way to scan into a %T", destination)
	}
	return nil
}

func (r sqliteRow) scanID(column int, id *[16]byte) error {
	stored := r.statement.ColumnRawBlob(column)
	copy(id[:], stored)
	if len(stored) != len(id) {
		return fmt.Errorf("sqlite: %s is not an id", r.statement.ColumnName(column))
	}
	return nil
}
