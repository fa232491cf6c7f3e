package store

import (
	"context"
	"database/sql"
	"regexp"
	"strings"

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

var (
	// limit and place are what differs between statements of a list.
	limit = regexp.MustCompile(`LIMIT \d+`)
	place = regexp.MustCompile(`\$\d+`)
)

// StatementsOf returns the statements that connections to SQLite have prepared, laid out
// as in StatementsFile, but for those that begin and end transactions.
func StatementsOf(s *Store) (issued []string) {
	db, ok := s.database.(*sqlite)
	if !ok {
		return nil
	}
	for _, pool := range []chan *sqliteConn{db.writer, db.readers} {
		for range cap(pool) {
			conn := <-pool
			if conn != nil {
				for sql := range conn.statements {
					issued = append(issued, formatted(sql))
				}
			}
			pool <- conn
		}
	}
	return issued
}

// InStatements returns a function that reports whether a statement is in a file of them:
// as it is, or, for that of a list, each of its conditions.
func InStatements(file string) func(sql string) bool {
	normal := func(sql string) string {
		return place.ReplaceAllString(limit.ReplaceAllString(strings.Join(strings.Fields(sql), " "), "LIMIT"), "$$")
	}
	known := make(map[string]bool)
	conditions := make(map[string]bool)
	split := func(sql string) (from string, where []string) {
		sql = normal(sql)
		// The rows of a page that the database ends by their size stand within.
		if _, within, ok := strings.Cut(sql, " AS bytes "); ok {
			sql, _, _ = strings.Cut(within, ") AS found")
		}
		rest, order, _ := strings.Cut(sql, " ORDER BY ")
		from, rest, _ = strings.Cut(rest, " WHERE ")
		return from + " ORDER BY " + strings.NewReplacer(" ASC", "", " DESC", "").Replace(order), strings.Split(rest, " AND ")
	}
	for sql := range strings.SplitSeq(file, ";\n") {
		var lines []string
		for line := range strings.SplitSeq(sql, "\n") {
			if !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
		sql = strings.Join(lines, " ")
		known[normal(sql)] = true
		from, where := split(sql)
		for _, condition := range where {
			conditions[from+": "+condition] = true
		}
	}
	return func(sql string) bool {
		if known[normal(sql)] {
			return true
		}
		from, where := split(sql)
		for _, condition := range where {
			if !conditions[from+": "+condition] {
				return false
			}
		}
		return limit.MatchString(sql)
	}
}
