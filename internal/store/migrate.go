package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// SchemaLevel is the number of the last migration that this program knows. Both databases
// have as many, each in a file.
var SchemaLevel = func() int {
	files, err := fs.ReadDir(migrations, "migrations/sqlite")
	if err != nil {
		panic(err) // They are in the program.
	}
	return len(files)
}()

func newProvider(dialect goose.Dialect, db *sql.DB, directory string) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, directory)
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if dialect == goose.DialectPostgres {
		// Servers that start together migrate one after the other.
		options = append(options, goose.WithSessionLocker(&migrationLock{db: db}))
	}
	return goose.NewProvider(dialect, db, files, options...)
}

// migrationLock keeps others from migrating while a transaction of its own is open. goose's own
// lock is the session's that migrates, and would be left in any session behind a pooler.
type migrationLock struct {
	db *sql.DB
	tx *sql.Tx
}

// SessionLock implements lock.SessionLocker.
func (l *migrationLock) SessionLock(ctx context.Context, _ *sql.Conn) (err error) {
	// The context's end must leave the rollback to SessionUnlock.
	if l.tx, err = l.db.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		return err
	}
	// While others migrate, or this process does, the transaction has nothing to do.
	_, err = l.tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0")
	if err == nil {
		_, err = l.tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", lock.DefaultLockID)
	}
	if err != nil {
		return errors.Join(err, l.tx.Rollback())
	}
	return nil
}

// SessionUnlock implements lock.SessionLocker.
func (l *migrationLock) SessionUnlock(context.Context, *sql.Conn) error { return l.tx.Rollback() }

// CheckSchema returns nil when the database answers and its schema is at the
// level that this program needs, or above it.
func (s *Store) CheckSchema(ctx context.Context) error {
	level, err := s.schemaLevel(ctx)
	if err != nil {
		return err
	}
	if level < SchemaLevel {
		return Failure(fmt.Errorf("%w (it is at level %d of %d)", ErrSchemaBehind, level, SchemaLevel))
	}
	return nil
}

// CheckWritable returns nil when the database answers and can be written to now: it is no
// standby, and not read-only.
func (s *Store) CheckWritable(ctx context.Context) error {
	return Failure(s.database.checkWritable(ctx))
}

// migrateUp brings a database to the level that this program knows.
func migrateUp(ctx context.Context, dialect goose.Dialect, db *sql.DB, directory string) error {
	provider, err := newProvider(dialect, db, directory)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return classify(fmt.Errorf("migrate: %w", err))
	}
	return nil
}
