package store

import (
	"context"
	"errors"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// database is what SQLite and PostgreSQL do each in their way.
type database interface {
	name() string
	isExclusive() bool
	begin(ctx context.Context, needs groupNeeds) (Tx, error)
	ifLeader(ctx context.Context, duty Duty, work func(context.Context) error) (ran bool, err error)
	// endAbandoned ends sessions that others wait for; see Store.EndAbandoned.
	endAbandoned(ctx context.Context, after time.Duration) (ended int, err error)
	// others counts the sessions of other processes; see Store.Servers.
	others(ctx context.Context) (int64, error)
	migrate(ctx context.Context) error
	// checkWritable returns nil where the database can be written to.
	checkWritable(ctx context.Context) error
	// schema returns what the schema has, and what the migrations up to a level make.
	schema(ctx context.Context, level int) (comparedSchema, error)
	connections() (open, used, limit int)
	space() (size, free int64, ok bool)
	close() error
	// hasMoved is closed when the database is no longer where it was opened; see ErrMoved.
	hasMoved() <-chan struct{}
	// sendsWhole reports whether a statement's rows all come, also when scan wants no more.
	sendsWhole() bool

	// rescrub takes what was erased out of files that still have it, as far as it was not done with
	// the erasure.
	rescrub(ctx context.Context) error

	// identify notes in the history which database there is; behind returns the journals that
	// have not come from a head, as far as one statement tells.
	identify(ctx context.Context) error
	behind(ctx context.Context, seen []head) ([]escrow.InstitutionID, error)
	// confirm waits until the journals as they are outlive the loss of the primary, and returns
	// those that have not come from a head that was read.
	confirm(ctx context.Context, read []head) (missing []escrow.InstitutionID, err error)

	// snapshot tells where a journal stands at some time after the call.
	snapshot(ctx context.Context, institution escrow.InstitutionID) (snapshot, error)
	// query runs a reading statement and calls scan for each row, until it returns an error;
	// errEnough is none to the caller. Parameters are written $1, $2 and so on.
	query(ctx context.Context, sql string, args []any, scan func(row) error) error
	// list is query for a statement whose best index depends on how large the tables
	// are.
	list(ctx context.Context, sql string, args []any, scan func(row) error) error
	// transact writes what fill hands to the sink, in a transaction of its own.
	transact(ctx context.Context, fill func(changeSink) error) error
	// exec runs a writing statement in a transaction of its own.
	exec(ctx context.Context, sql string, args []any) (affected int64, err error)
}

// errEnough is what a scan returns that wants no more rows.
var errEnough = errors.New("no more rows are wanted")

// row is one row of a result.
type row interface {
	// Scan copies the columns in order. Destinations are pointers to string,
	// int64, []byte, [16]byte, time.Time, *[16]byte, *time.Time and *string.
	Scan(destinations ...any) error
}

// one runs a query for at most one row.
func one[T any](
	ctx context.Context, db database, sql string, args []any, scan func(row) (T, error),
) (value T, found bool, err error) {
	err = db.query(ctx, sql, args, func(r row) (err error) {
		found = true
		value, err = scan(r)
		return err
	})
	return value, found, Failure(err)
}

// all runs a query for every row.
func all[T any](ctx context.Context, db database, sql string, args []any, scan func(row) (T, error)) ([]T, error) {
	values := []T{}
	err := db.query(ctx, sql, args, appendRow(&values, scan))
	return values, Failure(err)
}

// appendRow returns a scan that appends each row to a list.
func appendRow[T any](values *[]T, scan func(row) (T, error)) func(row) error {
	return func(r row) error {
		value, err := scan(r)
		if err == nil {
			*values = append(*values, value)
		}
		return err
	}
}

// scanValue reads a row of one column.
func scanValue[T any](r row) (value T, err error) {
	err = r.Scan(&value)
	return value, err
}

// idArg is the parameter for an id, idArgs that for several.
func idArg[K escrow.IDKind](id escrow.ID[K]) [16]byte { return [16]byte(id) }

func idArgs[K escrow.IDKind](ids []escrow.ID[K]) [][16]byte {
	args := make([][16]byte, len(ids))
	for i, id := range ids {
		args[i] = idArg(id)
	}
	return args
}
