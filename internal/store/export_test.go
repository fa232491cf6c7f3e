package store

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
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
	// limit and placeholder are what differs between statements of a list.
	limit       = regexp.MustCompile(`LIMIT \d+`)
	placeholder = regexp.MustCompile(`\$\d+`)
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

// composed are statements that count a list, or merge several: they are made of the conditions of
// lists, from parts like this.
var (
	composed = regexp.MustCompile(` AS (counted|lists)\b`)
	listPart = regexp.MustCompile(`FROM (\w+) WHERE ((?:[^()]|\([^()]*\))*?) ORDER BY`)
)

// conditionsOf are the conditions on each table in the parts of a statement.
func conditionsOf(sql string) (all []string) {
	for _, part := range listPart.FindAllStringSubmatch(sql, -1) {
		for condition := range strings.SplitSeq(part[2], " AND ") {
			if among, ok := strings.CutSuffix(condition, ") IS TRUE"); ok {
				condition, _, _ = strings.Cut(strings.TrimPrefix(among, "("), " OR ")
			}
			all = append(all, part[1]+": "+condition)
		}
	}
	return all
}

// InStatements returns a function that reports whether a statement is in a file of them:
// as it is, or, for that of a list, each of its conditions.
func InStatements(file string) func(sql string) bool {
	normal := func(sql string) string {
		return placeholder.ReplaceAllString(limit.ReplaceAllString(strings.Join(strings.Fields(sql), " "), "LIMIT"), "$$")
	}
	known := make(map[string]bool)
	conditions, parts := make(map[string]bool), make(map[string]bool)
	split := func(sql string) (from string, where []string) {
		sql = normal(sql)
		// The rows of a page that the database ends by their size stand within.
		if _, within, ok := strings.Cut(sql, " AS bytes "); ok {
			sql, _, _ = strings.Cut(within, ") AS found")
		}
		rest, order, _ := strings.Cut(sql, " ORDER BY ")
		// What stands within the table of a list is not among its conditions.
		table, rest, joins := strings.Cut(rest, " AS about ")
		if !joins {
			table, rest = "", table
		}
		from, rest, _ = strings.Cut(rest, " WHERE ")
		from = table + from
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
		for _, part := range conditionsOf(normal(sql)) {
			parts[part] = true
		}
		from, where := split(sql)
		for _, condition := range where {
			conditions[from+": "+condition] = true
		}
	}
	return func(sql string) bool {
		if known[normal(sql)] {
			return true
		}
		if composed.MatchString(normal(sql)) {
			isUnknown := func(part string) bool { return !parts[part] }
			return !slices.ContainsFunc(conditionsOf(normal(sql)), isUnknown)
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

// Contents returns the rows of every table as text, in order of their keys, but for those that a
// copy leaves out.
func Contents(ctx context.Context, s *Store) (map[string][]string, error) {
	contents := make(map[string][]string)
	tables := []tableInfo{headTable, entryTable}
	for _, t := range bookTables {
		tables = append(tables, t)
	}
	for _, t := range copiedTables {
		tables = append(tables, t)
	}
	for _, t := range tables {
		rows, err := t.(interface {
			contents(ctx context.Context, s *Store) ([]string, error)
		}).contents(ctx, s)
		if err != nil {
			return nil, err
		}
		contents[t.Name()] = rows
	}
	return contents, nil
}

func (t *table[T]) contents(ctx context.Context, s *Store) (rows []string, err error) {
	order := names(partsOf(t.layout, keyPart), "")
	read, err := all(ctx, s.database, "SELECT "+t.list+" FROM "+t.name+" ORDER BY "+order, nil, t.scan)
	for _, row := range read {
		rows = append(rows, fmt.Sprint(t.shown(row)))
	}
	return rows, err
}

// NotCopied are the tables that a copy neither copies nor makes anew.
func NotCopied() (names []string) {
	for table := range grants() {
		names = append(names, table)
	}
	known := map[string]bool{headTable.name: true, entryTable.name: true}
	for _, t := range bookTables {
		known[t.Name()] = t.rebuilt()
	}
	for _, t := range copiedTables {
		known[t.Name()] = true
	}
	return slices.DeleteFunc(names, func(name string) bool { return known[name] })
}

// IsOptimistic reports whether a transaction counts on what is remembered, and has asked PostgreSQL for nothing.
func IsOptimistic(tx Tx) bool {
	p, ok := tx.(*postgresTx)
	return ok && p.conn == nil
}
