package store

import (
	"context"
	"database/sql"
	"embed"
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
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, db, files, options...)
}

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
