package verify_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// notOfState are the tables that hold no state which a journal makes.
var notOfState = []string{
	// The chain of entries is verified with its checkpoints, tiles and head.
	"journal_entries", "journal_heads", "journal_checkpoints", "journal_tiles",
	// No entry tells of these.
	"idempotency_records", "checkpoint_keys", "security_events", "duty_leases", "unfinished_copies", "api_key_uses", "sessions",
	// Of these it is told which there are, and no more.
	"secrets",
	// Of goose.
	"goose_db_version",
}

// derived are the tables of state whose rows are made of entries on other subjects than theirs.
var derived = []string{"approval_subjects", "recent_moves", "holds"}

func TestEveryTableOfStateIsCompared(t *testing.T) {
	url := newFixture(t, "sqlite").URL
	compared := slices.Clone(derived)
	for _, table := range store.BookTables() {
		compared = append(compared, table.Name())
	}
	for _, table := range columnsByTable(t, unchecked(t, url)) {
		if slices.Contains(compared, table.name) == slices.Contains(notOfState, table.name) {
			t.Errorf("%s is neither compared nor exempt, or both", table.name)
		}
	}
}

// The columns are the database's own: one that a migration adds is among them.
func TestEveryColumnIsCompared(t *testing.T) {
	f := newFixture(t, "sqlite")
	f.Writer.People(f.Example)
	f.Writer.Holds(f.Example)
	f.erasePosition(f.positions[9])
	f.Writer.Approvals(f.Example)
	db := unchecked(t, f.URL)
	columns := 0
	for _, table := range columnsByTable(t, db) {
		if slices.Contains(notOfState, table.name) {
			continue
		}
		for _, column := range table.columns {
			columns++
			cell := table.firstCell(t, db, column.name)
			changed := otherValue(column.name, cell.value, column.sqlType)
			cell.set(t, db, changed)
			report, err := verify.Database(t.Context(), f.Store, verify.Config{})
			cell.set(t, db, cell.value)
			if err != nil {
				t.Errorf("%s.%s is %v instead of %v: %v", table.name, column.name, changed, cell.value, err)
			}
			if !slices.ContainsFunc(report.Differences, func(d verify.Difference) bool {
				// A hold on another position is missing on its own.
				return column.key || column.name == "position_id" || strings.HasPrefix(d.What, table.name+" ") && strings.HasPrefix(d.There, column.name+" ")
			}) {
				t.Errorf("%s.%s is %v instead of %v: the differences are %v",
					table.name, column.name, changed, cell.value, report.Differences)
			}
		}
	}
	if columns < 40 {
		t.Errorf("only %d columns were changed", columns)
	}
	if report := f.verify(nil); report.DifferenceCount != 0 {
		t.Errorf("with all as it was, there are differences: %v", report.Differences)
	}
}

// unchecked opens an SQLite database in which any value may stand in any column.
func unchecked(t *testing.T, url string) *sql.DB {
	t.Helper()
	db := must(driver.Open("file:" + strings.TrimPrefix(url, "sqlite:") +
		"?_pragma=ignore_check_constraints(on)&_pragma=foreign_keys(off)"))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type tableColumns struct {
	name    string
	columns []tableColumn
}

type tableColumn struct {
	name, sqlType string
	key           bool
}

// columnsByTable returns the tables of an SQLite database.
func columnsByTable(t *testing.T, db *sql.DB) (tables []tableColumns) {
	t.Helper()
	return scanColumns(t, db, `SELECT m.name, c.name, lower(c.type), c.pk > 0
		FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid`)
}

// scanColumns reads the tables of a database by a query for table, column, type and whether it is a key.
func scanColumns(t *testing.T, db *sql.DB, query string) (tables []tableColumns) {
	t.Helper()
	rows := must(db.QueryContext(t.Context(), query))
	defer rows.Close()
	for rows.Next() {
		var table string
		var column tableColumn
		if err := rows.Scan(&table, &column.name, &column.sqlType, &column.key); err != nil {
			t.Fatal(err)
		}
		if len(tables) == 0 || tables[len(tables)-1].name != table {
			tables = append(tables, tableColumns{name: table})
		}
		last := &tables[len(tables)-1]
		last.columns = append(last.columns, column)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return tables
}

// cell is a column of a table's first row.
type cell struct {
	table  tableColumns
	column string
	// keys are the values of the row's keys, by column.
	keys  map[string]any
	value any
}

func (table tableColumns) firstCell(t *testing.T, db *sql.DB, column string) cell {
	t.Helper()
	c := cell{table: table, column: column, keys: make(map[string]any)}
	read := func(column string) (value any) {
		query := fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT 1", column, table.name, strings.Join(table.keys(), ", "))
		if err := db.QueryRowContext(t.Context(), query).Scan(&value); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return value
	}
	for _, key := range table.keys() {
		c.keys[key] = read(key)
	}
	c.value = read(column)
	return c
}

func (table tableColumns) keys() (names []string) {
	for _, column := range table.columns {
		if column.key {
			names = append(names, column.name)
		}
	}
	return names
}

// set puts a value into the cell.
func (c *cell) set(t *testing.T, db *sql.DB, value any) {
	t.Helper()
	args := []any{value}
	var row []string
	for _, key := range c.table.keys() {
		row = append(row, key+" = ?")
		args = append(args, c.keys[key])
	}
	statement := fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s", c.table.name, c.column, strings.Join(row, " AND "))
	result, err := db.ExecContext(t.Context(), statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if rows, err := result.RowsAffected(); rows != 1 || err != nil {
		t.Fatalf("%s: %d rows, %v", statement, rows, err)
	}
	if _, ok := c.keys[c.column]; ok {
		c.keys[c.column] = value
	}
}

// otherValue is another value that a column of a type could hold.
func otherValue(column string, value any, sqlType string) any {
	switch {
	case column == "permissions" && value == "[]":
		return `["assets.read"]`
	case column == "origin" && value == nil:
		return bytes.Repeat([]byte{1}, 16)
	case column == "refusal" && value == nil:
		return `{"code":"c","detail":"d"}`
	case column == "maker" || column == "created_by":
		return "system"
	case column == "restriction" && value == nil:
		return `{"holderReferences":["h"]}`
	}

	switch value := value.(type) {
	case int64:
		return value + 1
	case []byte:
		other := bytes.Clone(value)
		other[len(other)-1] ^= 1
		return other
	case string:
		switch {
		case value == "[]":
			return `["USD"]`
		case strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{"):
			return strings.NewReplacer("USD", "JPY", "US", "SG", "CONSTRUCTION", "TRADE_FINANCE", "positions.read", "proofs.read",
				"approver", "clerk", "operator", "maker", "realm_access", "realm", "auditor", "admin").Replace(value)
		}
		return value + "1"
	}
	return map[string]any{"INTEGER": int64(1), "TEXT": "7", "BLOB": []byte{1}}[strings.ToUpper(sqlType)]
}
