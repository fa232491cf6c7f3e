// Package store keeps the platform's state in SQLite or PostgreSQL. Both hold
// the same tables and answer the same queries; what differs between them is
// small and stands behind the database interface.
//
// A table is described once, a line a column (see table), and the tables of the books
// stand in one list (see bookTables); all SQL about columns is made of the two.
// testdata/statements.golden.sql has every statement as it is issued.
//
// Reads are one statement each on any connection, or come out of the row cache. Writes
// come in groups: Begin locks the journals of a group's institutions and loads their
// books, and the transaction commits what the books have become, whole or not at all.
// Both are spared round trips by optimistic concurrency on the journals' heads; see
// rowCache.
package store

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Store is an open database. Its reads answer with errors of the domain, *escrow.Error,
// behind which errors.Is finds those of this package.
type Store struct {
	database database
	cache    *rowCache
	history  history
	// secrets finds keys by the hash of their secret.
	secrets sharedReader[escrow.SecretHash, escrow.APIKey]
	// tokens finds sessions by the hash of their token.
	tokens sharedReader[escrow.SecretHash, escrow.Session]
	// issuers finds the identity providers with an issuer.
	issuers sharedReader[string, []escrow.IdentityProvider]
}

// Tx is a transaction over the books of a group of institutions.
type Tx interface {
	// Books returns the books of an institution that Begin was asked for.
	Books(escrow.InstitutionID) *escrow.Books
	// Commit writes what the books have become. After an error that is
	// ErrOutcomeUnknown it may or may not be in the database; after ErrStale it is
	// not, and a transaction that is begun anew holds the lock.
	Commit(ctx context.Context) error
	// Rollback gives the transaction up. After Commit it does nothing.
	Rollback(ctx context.Context)
	// read runs a query on the connection that holds the lock.
	read(ctx context.Context, sql string, args []any, scan func(row) error) error
}

// Open opens the database that a URL names: sqlite:PATH, sqlite::memory:, or
// postgres://…. Connections bounds the pool; 0 takes the default.
func Open(ctx context.Context, databaseURL string, connections int) (*Store, error) {
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	s := newStore(nil, newRowCache())

	var err error
	switch scheme {
	case "sqlite":
		s.database, err = openSQLite(ctx, rest, connections, s.cache)
	case "postgres", "postgresql":
		s.database, err = openPostgres(ctx, databaseURL, connections, s)
	default:
		return nil, fmt.Errorf("database URL must begin with sqlite: or postgres://")
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(database database, cache *rowCache) *Store {
	s := &Store{database: database, cache: cache}
	s.secrets.name, s.secrets.most, s.secrets.query = "keys of secrets", maxHashes, s.keysByHash
	s.tokens.name, s.tokens.most, s.tokens.query = "sessions of tokens", maxHashes, s.sessionsByHash
	s.issuers.name, s.issuers.most, s.issuers.query = "identity providers of an issuer", 1, s.providersOf
	return s
}

// Close waits for the connections that are in use, and closes all.
func (s *Store) Close() error { return s.database.close() }

// Moved returns a channel that is closed when an SQLite database turns out to be no longer where
// it was opened: from then on everything fails with ErrMoved, as of a database that is not
// available. Each transaction looks, and so does CheckHistory.
func (s *Store) Moved() <-chan struct{} { return s.database.hasMoved() }

// Name is "sqlite" or "postgres".
func (s *Store) Name() string { return s.database.name() }

// Exclusive reports whether no other process can write to the database.
func (s *Store) Exclusive() bool { return s.database.isExclusive() }

// Begin opens a transaction on the books of the given institutions, with what they
// need. It holds the lock on their journals until it ends, or it is on
// books as this process knows them, and commits only if they still are so.
func (s *Store) Begin(ctx context.Context, needs map[escrow.InstitutionID]escrow.Needs) (Tx, error) {
	if err := s.settleHistory(ctx); err != nil {
		return nil, err
	}
	tx, err := s.database.begin(ctx, needs)
	if err != nil {
		return nil, err
	}
	further := s.cache.behind(tx, needs)
	if len(further) == 0 {
		return tx, nil
	}

	// The journals have gone back, or seem to: what is begun again sees what has become of them.
	tx.Rollback(ctx)
	for _, seen := range further {
		if _, err := s.HaltIfLost(ctx, seen.InstitutionID, seen.Head); err != nil {
			return nil, err
		}
	}
	return s.database.begin(ctx, needs)
}

// IfLeader runs work unless another process that shares the database has the same duty;
// it reports whether it ran. The work's context ends when the duty is lost, and rows that are
// added with it from then on fail with ErrNotLeader. Purge needs no duty: what it deletes has
// outlived its retention, whoever deletes it.
func (s *Store) IfLeader(
	ctx context.Context, duty Duty, work func(context.Context) error,
) (ran bool, err error) {
	return s.database.ifLeader(ctx, duty, work)
}

// EndAbandoned ends the sessions of servers that keep others from writing and have not been
// heard of for so long, in the middle of a transaction: of one that is frozen, or was cut off.
// What they had not committed is rolled back, and they find out as of a lost connection.
func (s *Store) EndAbandoned(ctx context.Context, after time.Duration) (ended int, err error) {
	ended, err = s.database.endAbandoned(ctx, after)
	return ended, Failure(err)
}

// Migrate brings the schema to the level that this program knows.
func (s *Store) Migrate(ctx context.Context) error { return s.database.migrate(ctx) }

// Connections counts the connections that are open, those in use, and the most there can be.
func (s *Store) Connections() (open, used, limit int) { return s.database.connections() }

// Space tells how many bytes the database takes, and how many are free where it is; ok is
// false where that is not this program's to know.
func (s *Store) Space() (size, free int64, ok bool) { return s.database.space() }

// Forget drops what is remembered of some institutions' books: the next transaction on
// them locks their journals and loads.
func (s *Store) Forget(institutions ...escrow.InstitutionID) { s.cache.forget(institutions...) }

// RedactURL returns a database URL without its password. A text that does not
// read like one is not shown at all: a typing error can put the password anywhere.
func RedactURL(databaseURL string) string {
	if strings.HasPrefix(databaseURL, "sqlite:") {
		return databaseURL
	}
	parsed, err := url.Parse(databaseURL)
	isPostgres := strings.HasPrefix(databaseURL, "postgres://") || strings.HasPrefix(databaseURL, "postgresql://")
	if err != nil || !isPostgres ||
		strings.Contains(parsed.Path+parsed.RawQuery+parsed.Fragment, "@") {
		return "(not a URL)"
	}

	// Besides the user part, libpq takes a password among the parameters.
	parsed.RawQuery, parsed.Fragment = "", ""
	return parsed.Redacted()
}
