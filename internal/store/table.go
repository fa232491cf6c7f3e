package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// table describes a table: its name, and its columns in terms of a row of type T. What
// stands in SQL about the columns is made of it once; no list of them stands elsewhere.
type table[T any] struct {
	name string
	// columnsOf returns the columns of a row, the keys first.
	columnsOf func(*T) []column
	// layout is the columns of a row that nobody looks at, for their names.
	layout []column
	// list is the names of the columns, separated by commas.
	list string
	// large are the columns that most of a row's bytes are in; nil where rows are small.
	large []string
	// conflict is what becomes of a row whose key is there already; empty where that fails.
	conflict string
	// inserts and updates write rows; a table without changing columns has no updates.
	inserts, updates statement
	// byKey reads the row of a key, byOwner those whose key begins alike.
	byKey, byOwner string
	// grant is what serving may do with the table.
	grant string
	// bindings are used again: to tie columns to a row is a dozen allocations.
	bindings sync.Pool
}

// statement writes rows of a table: SQLite row by row, PostgreSQL any number at once,
// with an array for each column.
type statement struct{ perRow, perSet string }

// newTable describes a table. The keys must come before the other columns.
func newTable[T any](name string, columnsOf func(*T) []column, options ...tableOption) *table[T] {
	t := &table[T]{name: name, columnsOf: columnsOf, layout: columnsOf(new(T))}
	t.bindings.New = func() any { return newBinding(t) }

	var extras tableExtras
	for _, option := range options {
		option(&extras)
	}
	t.list, t.large, t.conflict = names(t.layout, ""), extras.large, extras.conflict
	t.inserts = insertOf(name, t.layout, extras.conflict)
	t.updates = updateOf(name, t.layout)
	t.grant = grantOf(t.layout, extras.purged)

	keys := partsOf(t.layout, keyPart)
	t.byKey = "SELECT " + t.list + " FROM " + name + " WHERE " + assigned(keys, " AND ")
	t.byOwner = "SELECT " + t.list + " FROM " + name + " WHERE " + assigned(keys[:1], "")
	return t
}

// tableExtras is what few tables have.
type tableExtras struct {
	conflict string
	purged   bool
	large    []string
}

type tableOption func(*tableExtras)

// onConflict says what becomes of a row whose key is there already.
func onConflict(clause string) tableOption {
	return func(e *tableExtras) { e.conflict = " " + clause }
}

// purged says that serving deletes rows that are old.
func purged() tableOption { return func(e *tableExtras) { e.purged = true } }

// large names the columns that most of a row's bytes are in, where rows can be so large that
// a page of them ends early.
func large(columns ...string) tableOption {
	return func(e *tableExtras) { e.large = columns }
}

// names lists the names of columns, each behind a prefix.
func names(columns []column, prefix string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = prefix + c.name
	}
	return strings.Join(list, ", ")
}

// assigned sets or compares columns to the first parameters.
func assigned(columns []column, separator string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf("%s = $%d", c.name, i+1)
	}
	return strings.Join(list, separator)
}

// arrays is the parameters of columns as arrays.
func arrays(columns []column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf("$%d::%s[]", i+1, c.sqlType())
	}
	return strings.Join(list, ", ")
}

func partsOf(columns []column, parts ...part) (chosen []column) {
	for _, c := range columns {
		if slices.Contains(parts, c.part) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func insertOf(name string, columns []column, conflict string) statement {
	places := make([]string, len(columns))
	for i := range columns {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	into := "INSERT INTO " + name + " (" + names(columns, "") + ") "
	return statement{
		perRow: into + "VALUES (" + strings.Join(places, ", ") + ")" + conflict,
		perSet: into + "SELECT * FROM unnest(" + arrays(columns) + ")" + conflict,
	}
}

// updateOf sets the columns that change; the keys are the first parameters.
func updateOf(name string, columns []column) statement {
	keys, changing := partsOf(columns, keyPart), partsOf(columns, changingPart)
	if len(changing) == 0 {
		return statement{}
	}

	var setRow, setSet, joined []string
	for i, c := range changing {
		setRow = append(setRow, fmt.Sprintf("%s = $%d", c.name, len(keys)+i+1))
		setSet = append(setSet, c.name+" = n."+c.name)
	}
	for _, c := range keys {
		joined = append(joined, "t."+c.name+" = n."+c.name)
	}

	written := partsOf(columns, keyPart, changingPart)
	return statement{
		perRow: "UPDATE " + name + " SET " + strings.Join(setRow, ", ") + " WHERE " + assigned(keys, " AND "),
		perSet: "UPDATE " + name + " AS t SET " + strings.Join(setSet, ", ") +
			" FROM unnest(" + arrays(written) + ") AS n (" + names(written, "") + ")" +
			" WHERE " + strings.Join(joined, " AND "),
	}
}

// grantOf is the privileges that serving takes: what a row was made with cannot be
// changed with them, but for what can be erased.
func grantOf(columns []column, purged bool) string {
	grant := "SELECT, INSERT"
	if changing := partsOf(columns, changingPart, erasablePart); len(changing) > 0 {
		grant += ", UPDATE (" + names(changing, "") + ")"
	}
	if purged {
		grant += ", DELETE"
	}
	return grant
}

// binding is a table's columns tied to one row, which all rows of a statement pass
// through: so there is nothing to allocate for each.
type binding[T any] struct {
	row *T
	// columns are all of them, updated the keys and those that change.
	columns, updated []column
	destinations     []any
}

func newBinding[T any](t *table[T]) *binding[T] {
	row := new(T)
	b := &binding[T]{row: row, columns: t.columnsOf(row)}
	b.updated = partsOf(b.columns, keyPart, changingPart)
	for _, c := range b.columns {
		b.destinations = append(b.destinations, c.destination())
	}
	return b
}

func (t *table[T]) bind() *binding[T] {
	return t.bindings.Get().(*binding[T]) //nolint:errcheck,forcetypeassert // See newTable.
}

// release gives a binding back. It must not keep a row alive.
func (t *table[T]) release(b *binding[T]) {
	var none T
	*b.row = none
	t.bindings.Put(b)
}

// read reads a row of the table's columns.
func (b *binding[T]) read(table string, r row) error {
	if err := r.Scan(b.destinations...); err != nil {
		return err
	}
	for _, c := range b.columns {
		if err := c.scanned(); err != nil {
			return fmt.Errorf("%s: %w", table, &columnError{c.name, err})
		}
	}
	return nil
}

// columnError is why a column cannot be read.
type columnError struct {
	column string
	fault  error
}

func (e *columnError) Error() string { return e.column + ": " + e.fault.Error() }

// scan reads a row of the table's columns.
func (t *table[T]) scan(r row) (read T, err error) {
	b := t.bind()
	defer t.release(b)

	if err := b.read(t.name, r); err != nil {
		return read, err
	}
	return *b.row, nil
}

// Column is a column of a row, with its content as text: that of two is alike where the same
// bytes stand there.
type Column struct {
	Name, Value string
	// Null says that the column holds NULL; then there is no value.
	Null bool
}

func shownColumn(c column, holds content) Column {
	return Column{Name: c.name, Value: holds.text, Null: holds.null}
}

// shown returns the columns of a row as they would be written.
func (t *table[T]) shown(row T) []Column {
	b := t.bind()
	defer t.release(b)

	*b.row = row
	shown := make([]Column, len(b.columns))
	for i, c := range b.columns {
		shown[i] = shownColumn(c, c.written())
	}
	return shown
}

// storedRow is a row with its columns as they stand in the table.
type storedRow[T any] struct {
	row     T
	columns []Column
}

// scanStored reads a row of the table's columns, and keeps how they stand there.
func (t *table[T]) scanStored(r row) (stored storedRow[T], err error) {
	b := t.bind()
	defer t.release(b)

	if err := b.read(t.name, r); err != nil {
		return stored, err
	}
	stored = storedRow[T]{row: *b.row, columns: make([]Column, len(b.columns))}
	for i, c := range b.columns {
		stored.columns[i] = shownColumn(c, storedIn(c))
	}
	return stored, nil
}

// InexactError is a column in which the right value stands otherwise than the store writes it.
type InexactError struct{ Stored, Written Column }

func (e *InexactError) Error() string {
	return fmt.Sprintf("%s is not as the server writes it: %q instead of %q",
		e.Stored.Name, e.Stored.Value, e.Written.Value)
}

// inexact returns an *InexactError for the first column of a row that is not as the store writes
// it, or nil.
func (t *table[T]) inexact(stored storedRow[T]) error {
	for i, written := range t.shown(stored.row) {
		if there := stored.columns[i]; there != written {
			return &InexactError{Stored: there, Written: written}
		}
	}
	return nil
}

// changeSink takes what is written in one transaction, table by table.
type changeSink interface{ write(change) error }

// change is a statement with the rows that it writes.
type change struct {
	statement

	// columns are the parameters, in order. take sets their variables to those of the
	// row at a place, of so many.
	columns []column
	rows    int
	take    func(place int)
}

// insert hands new rows to a sink.
func insert[T any](sink changeSink, t *table[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	return t.insertAs(sink, t.inserts, rows)
}

// insertAs is insert with a statement that says otherwise what becomes of a row that is there.
func (t *table[T]) insertAs(sink changeSink, inserts statement, rows []T) error {
	b := t.bind()
	defer t.release(b)
	return sink.write(change{
		statement: inserts,
		columns:   b.columns,
		rows:      len(rows),
		take:      func(place int) { *b.row = rows[place] },
	})
}

// errNoUpdates is update's error for a table without changing columns. To drop the
// rows would leave state that the journal contradicts.
var errNoUpdates = errors.New("none of its columns is marked changing")

// update hands rows that have changed to a sink.
func update[T any](sink changeSink, t *table[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	if t.updates.perRow == "" {
		return fmt.Errorf("a row of %s was changed: %w", t.name, errNoUpdates)
	}
	b := t.bind()
	defer t.release(b)
	return sink.write(change{
		statement: t.updates,
		columns:   b.updated,
		rows:      len(rows),
		take:      func(place int) { *b.row = rows[place] },
	})
}
