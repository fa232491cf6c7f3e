package store

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"
)

// MigrateTo brings the schema to a level, as the program did that knew no higher one.
func MigrateTo(ctx context.Context, s *Store, level int64) error {
	var db *sql.DB
	dialect, directory := goose.DialectPostgres, "migrations/postgres"
	switch b := s.database.(type) {
	case *sqlite:
		var err error
		if db, err = driver.Open(b.dsn); err != nil {
			return err
		}
		dialect, directory = goose.DialectSQLite3, "migrations/sqlite"
	case *postgres:
		db = stdlib.OpenDBFromPool(b.pool)
	}
	defer db.Close()
	provider, err := newProvider(dialect, db, directory)
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, level)
	return err
}
