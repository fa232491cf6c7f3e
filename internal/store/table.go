package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// table says how a domain value stands in a table. Both backends write by it:
// SQLite row by row, PostgreSQL with one statement for any number of rows.
type table[T any] struct {
	insertRow, insertSet string
	updateRow, updateSet string
	// updates tells of each column whether an update takes it: the key and the columns
	// that change. Nil is all of them.
	updates []bool
	// write hands a row's columns over in order.
	write func(*T, columns) error
}

// columns takes the values of a row, column by column.
type columns interface {
	id(id [16]byte)
	text(text string)
	// optionalText takes an empty text for NULL.
	optionalText(text string)
	number(number int64)
	// bytes takes nil for NULL.
	bytes(content []byte)
	time(at time.Time)
	// optionalTime takes nil for NULL.
	optionalTime(at *time.Time)
}

// newTable describes a table by its columns in order, each with its PostgreSQL
// type. The first keys of them are the primary key; a name that begins with ~ is
// a column that changes after the row was made.
func newTable[T any](name string, keys int, names []string, write func(*T, columns) error) table[T] {
	t := table[T]{write: write, updates: make([]bool, len(names))}
	var listed, places, sets, key, joined, assigned, aliases, types []string
	for i, column := range names {
		column, changes := strings.CutPrefix(column, "~")
		column, pgType, _ := strings.Cut(column, " ")
		listed = append(listed, column)
		places = append(places, fmt.Sprintf("$%d", i+1))
		sets = append(sets, fmt.Sprintf("$%d::%s[]", i+1, pgType))
		if !changes && i >= keys {
			continue
		}
		t.updates[i] = true
		place := len(aliases) + 1
		aliases = append(aliases, column)
		types = append(types, fmt.Sprintf("$%d::%s[]", place, pgType))
		if i < keys {
			key = append(key, fmt.Sprintf("%s = $%d", column, place))
			joined = append(joined, fmt.Sprintf("t.%s = n.%s", column, column))
		} else {
			assigned = append(assigned, fmt.Sprintf("%s = $%d", column, place))
		}
	}
	list := strings.Join(listed, ", ")
	t.insertRow = fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", name, list, strings.Join(places, ", "))
	t.insertSet = fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s)", name, list, strings.Join(sets, ", "))
	if len(assigned) > 0 {
		t.updateRow = fmt.Sprintf("UPDATE %s SET %s WHERE %s", name, strings.Join(assigned, ", "), strings.Join(key, " AND "))
		setFrom := make([]string, 0, len(assigned))
		for _, column := range aliases[keys:] {
			setFrom = append(setFrom, column+" = n."+column)
		}
		t.updateSet = fmt.Sprintf("UPDATE %s AS t SET %s FROM unnest(%s) AS n (%s) WHERE %s", name, strings.Join(setFrom, ", "),
			strings.Join(types, ", "), strings.Join(aliases, ", "), strings.Join(joined, " AND "))
	}
	return t
}

// cursor goes through the columns of a row.
type cursor struct {
	// wanted tells of each column whether it is a parameter; nil is all of them.
	wanted []bool
	// column is the next of the row, place how many of those before it are wanted.
	column, place int
}

// begin goes back to the first column.
func (c *cursor) begin() { c.column, c.place = 0, 0 }

// next moves on to the next column, and reports whether it is wanted.
func (c *cursor) next() bool {
	column := c.column
	c.column++
	if len(c.wanted) > 0 && !c.wanted[column] {
		return false
	}
	c.place++
	return true
}

// changeSink takes what a batch writes, table by table.
type changeSink interface {
	// write queues or runs a statement of a table for so many rows, of which row hands
	// over the columns. Where wanted is not nil, only those columns are parameters of
	// which it is true.
	write(perRow, perSet string, wanted []bool, rows int, row func(int, columns) error) error
}

// insert and update hand a table's rows to a sink.
func insert[T any](sink changeSink, t table[T], rows []T) error {
	return writeRows(sink, t, rows, t.insertRow, t.insertSet, nil)
}

func update[T any](sink changeSink, t table[T], rows []T) error {
	return writeRows(sink, t, rows, t.updateRow, t.updateSet, t.updates)
}

func writeRows[T any](sink changeSink, t table[T], rows []T, perRow, perSet string, wanted []bool) error {
	if len(rows) == 0 {
		return nil
	}
	return sink.write(perRow, perSet, wanted, len(rows), func(i int, to columns) error { return t.write(&rows[i], to) })
}

// writeBooks hands everything that the books of a batch have become to a sink.
// The ends of the journals are checked where they move, or, for a batch that holds
// no lock yet, all of them.
func writeBooks(sink changeSink, batch []*escrow.Books, checkEnds bool) error {
	var changes changes
	for _, books := range batch {
		changes.add(books, checkEnds)
	}
	for _, write := range []func() error{
		func() error { return insert(sink, institutionTable, changes.institutions) },
		func() error { return insert(sink, headTable, changes.newHeads) },
		func() error { return update(sink, headMoves, changes.moves) },
		func() error { return insert(sink, entryTable, changes.entries) },
		func() error { return insert(sink, keyTable, changes.newKeys) },
		func() error { return update(sink, keyTable, changes.keys) },
		func() error { return insert(sink, policyTable, changes.newPolicies) },
		func() error { return update(sink, policyTable, changes.policies) },
		func() error { return insert(sink, templateTable, changes.templates) },
		func() error { return insert(sink, assetTable, changes.assets) },
		func() error { return insert(sink, positionTable, changes.newPositions) },
		func() error { return update(sink, positionTable, changes.positions) },
		func() error { return insert(sink, recordTable, changes.records) },
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// changes is what the books of a batch have become, by table.
type changes struct {
	institutions            []escrow.Institution
	newHeads                []head
	moves                   []headMove
	entries                 []escrow.Entry
	newKeys, keys           []escrow.APIKey
	newPolicies, policies   []escrow.Policy
	templates               []escrow.AssetTemplate
	assets                  []escrow.Asset
	newPositions, positions []escrow.Position
	records                 []ownedRecord
}

func (c *changes) add(b *escrow.Books, checkEnds bool) {
	for _, created := range b.Institutions.Created() {
		c.institutions = append(c.institutions, created)
		c.newHeads = append(c.newHeads, head{created.ID, escrow.Head{Sequence: 1, At: created.CreatedAt}})
	}
	if checkEnds || !sameHead(b.Head, b.Opened()) {
		c.moves = append(c.moves, headMove{b.InstitutionID(), b.Opened(), b.Head})
	}
	c.entries = append(c.entries, b.Entries...)
	c.newKeys = append(c.newKeys, b.Keys.Created()...)
	c.keys = append(c.keys, b.Keys.Updated()...)
	c.newPolicies = append(c.newPolicies, b.Policies.Created()...)
	c.policies = append(c.policies, b.Policies.Updated()...)
	c.templates = append(c.templates, b.Templates.Created()...)
	c.assets = append(c.assets, b.Assets.Created()...)
	c.newPositions = append(c.newPositions, b.Positions.Created()...)
	c.positions = append(c.positions, b.Positions.Updated()...)
	for _, record := range b.Records.Created() {
		c.records = append(c.records, ownedRecord{b.InstitutionID(), record})
	}
}
