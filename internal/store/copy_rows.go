package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// copiedTables are the tables whose rows are copied as they are. Those that no journal tells of
// must be; tiles could be made anew, but are there.
var copiedTables = []copiedTable{
	// Records come first: a request that is repeated to the copy must not be carried out twice.
	recordTable, checkpointKeyTable, checkpointTable, tileTable, securityEventTable,
	// Whoever looks for keys that nobody uses would take all of them for such.
	keyUseTable,
	// What the entries tell of as being there.
	secretTable,
}

// copiedTable is a table that can be copied row by row.
type copiedTable interface {
	tableInfo
	copyRows(ctx context.Context, from, to database) error
	copyStatements() copyStatements
}

// copyStatements read the first page of a table's rows, and a later one, and insert the rows that
// are missing.
type copyStatements struct {
	first, later string
	inserts      statement
}

// copiedPage is how many rows are copied at once: of the largest, tiles, four MiB.
const copiedPage = 512

// copyRows copies the rows that are missing, page by page in order of the whole key.
func (t *table[T]) copyRows(ctx context.Context, from, to database) error {
	sql := t.copyStatements()
	next, after := sql.first, []any(nil)
	for {
		var rows []T
		if err := from.query(ctx, next, after, appendRow(&rows, t.scan)); err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		err := to.transact(ctx, func(sink changeSink) error { return t.insertAs(sink, sql.inserts, rows) })
		if err != nil {
			return err
		}

		if after, err = t.keyOf(rows[len(rows)-1]); err != nil {
			return err
		}
		next = sql.later
	}
}

// missingOf inserts rows whose key is not there yet. Those that are there are left out: to be
// refused is itself a change to a table that is append-only.
func missingOf(name string, columns []column) statement {
	keys := partsOf(columns, keyPart)
	joined := make([]string, len(keys))
	for i, c := range keys {
		joined[i] = "t." + c.name + " = n." + c.name
	}
	into := "INSERT INTO " + name + " (" + names(columns, "") + ") SELECT "
	none := " WHERE NOT EXISTS (SELECT 1 FROM " + name
	return statement{
		perRow: into + places(1, len(columns)) + none + " WHERE " + assigned(keys, " AND ") + ")",
		perSet: into + "n.* FROM unnest(" + arrays(columns) + ") AS n (" + names(columns, "") + ")" +
			none + " AS t WHERE " + strings.Join(joined, " AND ") + ")",
	}
}

func (t *table[T]) copyStatements() copyStatements {
	keys := partsOf(t.layout, keyPart)
	order := names(keys, "")
	page := func(where string) string {
		return fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", t.list, t.name, where, order, copiedPage)
	}

	sql := copyStatements{
		first:   page(""),
		later:   page(" WHERE (" + order + ") > (" + places(1, len(keys)) + ")"),
		inserts: t.inserts,
	}
	if t.conflict == "" {
		sql.inserts = missingOf(t.name, t.layout)
	}
	return sql
}

// keyOf returns a row's key as arguments.
func (t *table[T]) keyOf(row T) (arguments, error) {
	b := t.bind()
	defer t.release(b)

	*b.row = row
	var key arguments
	for _, c := range partsOf(b.columns, keyPart) {
		if err := c.write(&key); err != nil {
			return nil, err
		}
	}
	return key, nil
}

// arguments collects values as arguments of a query.
type arguments []any

func (a *arguments) id(id [16]byte)       { *a = append(*a, id) }
func (a *arguments) text(text string)     { *a = append(*a, text) }
func (a *arguments) number(number int64)  { *a = append(*a, number) }
func (a *arguments) bytes(content []byte) { *a = append(*a, content) }
func (a *arguments) time(at time.Time)    { *a = append(*a, at) }
func (a *arguments) null()                { *a = append(*a, nil) }
