// Package store keeps the platform's state in SQLite or PostgreSQL. Both hold
// the same tables and answer the same queries; what differs between them is
// small and stands behind the backend interface.
//
// Reads are one statement each on any connection, or of what is remembered, once it is
// known that it still holds. Writes come in batches: Begin
// locks the journals of a batch's institutions and loads their books, and the
// batch commits what the books have become, whole or not at all. What the last
// batches have read and written is remembered, so that a server that writes to a
// journal alone needs neither to load nor to lock before it writes.
package store

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Store is an open database.
type Store struct{ backend }

// backend is what SQLite and PostgreSQL do each in their way.
type backend interface {
	// Name is "sqlite" or "postgres".
	Name() string
	// Exclusive reports whether no other process can write to the database.
	Exclusive() bool
	// Begin opens a batch on the books of the given institutions, with what they
	// need. The batch holds the lock on their journals until it ends, or it is on
	// books as this process knows them, and commits only if they still are so.
	Begin(ctx context.Context, needs map[escrow.InstitutionID]escrow.Needs) (Batch, error)
	// Lead runs work unless another process that shares the database is in Lead
	// under the same name; it reports whether it ran.
	Lead(ctx context.Context, name LeaderName, work func(context.Context) error) (ran bool, err error)
	// Migrate brings the schema to the level that this program knows.
	Migrate(ctx context.Context) error
	// Connections counts the connections that are open, those in use, and the most there can be.
	Connections() (open, used, limit int)
	// Space tells how many bytes the database takes, and how many are free where it is; ok is
	// false where that is not this program's to know.
	Space() (size, free int64, ok bool)
	// Forget drops what is remembered of some institutions' books: the next batch on
	// them locks their journals and loads.
	Forget(institutions ...escrow.InstitutionID)
	Close() error

	// moment tells where a journal stands at some time after the call.
	moment(ctx context.Context, institution escrow.InstitutionID) (moment, error)
	// recall returns a row that is remembered of a moment, remember remembers one that
	// was read after it.
	recall(at moment, id any) (any, bool)
	remember(at moment, id, value any)
	// query runs a reading statement and calls scan for each row. Parameters are
	// written $1, $2 and so on.
	query(ctx context.Context, sql string, args []any, scan func(row) error) error
	// list is query for a statement whose best index depends on how large the tables
	// are.
	list(ctx context.Context, sql string, args []any, scan func(row) error) error
	// transact writes what fill hands to the sink, in a transaction of its own.
	transact(ctx context.Context, fill func(changeSink) error) error
	// exec runs a writing statement in a transaction of its own.
	exec(ctx context.Context, sql string, args []any) (affected int64, err error)
}

// Batch is a transaction over the books of some institutions.
type Batch interface {
	// Books returns the books of an institution that Begin was asked for.
	Books(escrow.InstitutionID) *escrow.Books
	// Commit writes what the books have become. After an error that is
	// ErrOutcomeUnknown it may or may not be in the database; after ErrStale it is
	// not, and a batch that is begun anew holds the lock.
	Commit(ctx context.Context) error
	// Rollback gives the batch up.
	Rollback(ctx context.Context)
}

// LeaderName names a duty that one process at a time has.
type LeaderName int32

// The duties; their numbers must not change between versions.
const (
	LeadExpiry       LeaderName = 1
	LeadPurge        LeaderName = 2
	LeadLog          LeaderName = 3
	LeadVerification LeaderName = 4
)

// row is one row of a result.
type row interface {
	// Scan copies the columns in order. Destinations are pointers to string,
	// int64, []byte, [16]byte, time.Time, *time.Time and *string.
	Scan(destinations ...any) error
}

// Open opens the database that a URL names: sqlite:PATH, sqlite::memory:, or
// postgres://…. Connections bounds the pool; 0 takes the default.
func Open(ctx context.Context, databaseURL string, connections int) (*Store, error) {
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	var opened backend
	var err error
	switch scheme {
	case "sqlite":
		opened, err = openSQLite(ctx, rest, connections)
	case "postgres", "postgresql":
		opened, err = openPostgres(ctx, databaseURL, connections)
	default:
		return nil, fmt.Errorf("database URL must begin with sqlite: or postgres://")
	}
	if err != nil {
		return nil, err
	}
	return &Store{opened}, nil
}

// RedactURL returns a database URL without its password. A text that does not
// read like one is not shown at all: a typing error can put the password anywhere.
func RedactURL(databaseURL string) string {
	if strings.HasPrefix(databaseURL, "sqlite:") {
		return databaseURL
	}
	parsed, err := url.Parse(databaseURL)
	if err != nil || !strings.HasPrefix(databaseURL, "postgres://") && !strings.HasPrefix(databaseURL, "postgresql://") ||
		strings.Contains(parsed.Path+parsed.RawQuery+parsed.Fragment, "@") {
		return "(not a URL)"
	}
	// Besides the user part, libpq takes a password among the parameters.
	parsed.RawQuery, parsed.Fragment = "", ""
	return parsed.Redacted()
}

// one runs a query for at most one row.
func one[T any](ctx context.Context, b backend, sql string, args []any, scan func(row, *T) error) (value T, found bool, err error) {
	err = b.query(ctx, sql, args, func(r row) error {
		found = true
		return scan(r, &value)
	})
	return value, found, err
}

// all runs a query for every row.
func all[T any](ctx context.Context, b backend, sql string, args []any, scan func(row, *T) error) ([]T, error) {
	values := []T{}
	err := b.query(ctx, sql, args, appendRow(&values, scan))
	return values, err
}

// appendRow returns a scan that appends each row to a list.
func appendRow[T any](values *[]T, scan func(row, *T) error) func(row) error {
	return func(r row) error {
		var value T
		if err := scan(r, &value); err != nil {
			return err
		}
		*values = append(*values, value)
		return nil
	}
}
