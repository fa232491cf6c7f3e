package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// list builds the query of a page: conditions joined by AND, in the order of a
// key column that the items' cursors hold.
type list struct {
	columns string
	table   string
	key     string // the column of the order
	// large are the columns that most of a row's bytes are in; nil where rows are small.
	large      []string
	conditions []string
	// alternatives are conditions of which one must hold, and no row keeps two; none may be there.
	alternatives []string
	args         []any
	// cursor is where the page begins, with an argument behind the others. How many items the list
	// has does not hang on it.
	cursor    string
	cursorArg any
}

// listOf begins the query of a page of a table's rows.
func listOf[T any](t *table[T], key string) *list {
	return &list{columns: t.list, table: t.name, key: key, large: t.large}
}

// where adds a condition; each %s of it becomes the parameter of an argument.
func (l *list) where(condition string, args ...any) {
	l.conditions = append(l.conditions, l.expression(condition, args...))
}

func (l *list) expression(condition string, args ...any) string {
	places := make([]any, len(args))
	for i, arg := range args {
		l.args = append(l.args, arg)
		places[i] = fmt.Sprintf("$%d", len(l.args))
	}
	return fmt.Sprintf(condition, places...)
}

// whereText asks for a column's value, unless it is empty.
func (l *list) whereText(column, value string) {
	if value != "" {
		l.where(column+" = %s", value)
	}
}

// whereIn asks for one of some values of a column, if there are any. Each of several makes a list
// of its own, on the index of the column, of which no more is read than of one; the page is merged
// of them. With IN the index would not be in the order of the list, and all of its rows would be
// sorted.
func whereIn[T ~string](l *list, column string, values []T) {
	conditions := make([]string, len(values))
	for i, value := range values {
		conditions[i] = l.expression(column+" = %s", string(value))
	}
	l.whereAny(conditions)
}

// whereID is whereIn for a column of ids.
func whereID[K escrow.IDKind](l *list, column string, ids []escrow.ID[K]) {
	conditions := make([]string, len(ids))
	for i, id := range ids {
		conditions[i] = l.expression(column+" = %s", idArg(id))
	}
	l.whereAny(conditions)
}

// whereAny adds alternatives, if there are any. Of two sets of them the second is looked at row by
// row.
func (l *list) whereAny(conditions []string) {
	switch {
	case len(conditions) == 0:
	case len(conditions) == 1:
		l.conditions = append(l.conditions, conditions[0])
	case l.alternatives == nil:
		l.alternatives = conditions
	default:
		// No index is made use of for this.
		l.conditions = append(l.conditions, "("+strings.Join(conditions, " OR ")+") IS TRUE")
	}
}

// after restricts the list to what follows a page's cursor. It comes last.
func (l *list) after(page escrow.PageRequest, cursor any) {
	comparison := " > "
	if page.Descending {
		comparison = " < "
	}
	l.cursor, l.cursorArg = fmt.Sprintf("%s%s$%d", l.key, comparison, len(l.args)+1), cursor
}

// page is the query of a page; whole says that the database sends all rows, however many are
// wanted.
func (l *list) page(page escrow.PageRequest, whole bool) (sql string, args []any) {
	order := "ASC"
	if page.Descending {
		order = "DESC"
	}
	conditions, args := l.conditions, l.args
	if l.cursor != "" {
		conditions, args = append(slices.Clip(conditions), l.cursor), append(slices.Clip(args), l.cursorArg)
	}

	// One more than asked for tells whether the list goes on.
	rows := l.rows(l.columns, conditions, fmt.Sprintf(" ORDER BY %s %s LIMIT %d", l.key, order, page.Limit+1))
	if !whole || l.large == nil {
		return "SELECT " + l.columns + rows, args
	}

	// The database adds up the sizes of rows without reading what is large in them, and leaves
	// out those that no page has room for. The last one tells that the list goes on.
	return "SELECT " + l.columns + " FROM (SELECT *, sum(bytes) OVER (ORDER BY place " + order +
		" ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS earlier FROM (SELECT " + l.columns + ", " +
		l.key + " AS place, " + l.size() + " AS bytes" + rows +
		") AS found) AS sized WHERE coalesce(earlier, 0) < " + strconv.Itoa(escrow.MaxPageBytes) +
		" ORDER BY place " + order, args
}

// size is how many bytes a row has in its large columns.
func (l *list) size() string {
	sizes := make([]string, len(l.large))
	for i, column := range l.large {
		sizes[i] = "coalesce(octet_length(" + column + "), 0)"
	}
	return strings.Join(sizes, " + ")
}

// count is the query of how many items all pages have, up to one more than are counted. It reads them
// in the order of the list, and so on the same index.
func (l *list) count() string {
	return "SELECT count(*) FROM (SELECT " + l.key +
		l.rows(l.key, l.conditions, fmt.Sprintf(" ORDER BY %s LIMIT %d", l.key, escrow.MaxCount+1)) + ") AS counted"
}

// rows is a query behind its columns, with what it needs of the table beside the order.
func (l *list) rows(columns string, conditions []string, order string) string {
	if len(l.alternatives) == 0 {
		return l.from(conditions) + order
	}

	if !strings.Contains(", "+columns+",", ", "+l.key+",") {
		columns = l.key + ", " + columns
	}
	lists := make([]string, len(l.alternatives))
	for i, alternative := range l.alternatives {
		lists[i] = fmt.Sprintf("SELECT * FROM (SELECT %s%s%s) AS list_%d",
			columns, l.from(append(slices.Clip(conditions), alternative)), order, i+1)
	}
	return " FROM (" + strings.Join(lists, " UNION ALL ") + ") AS lists" + order
}

// from is the table, with conditions on its rows.
func (l *list) from(conditions []string) string {
	if len(conditions) == 0 {
		return " FROM " + l.table
	}
	return " FROM " + l.table + " WHERE " + strings.Join(conditions, " AND ")
}

// sizedRow counts the bytes that are read of rows, but for numbers and times.
type sizedRow struct {
	row
	bytes int
}

// Scan implements row.
func (r *sizedRow) Scan(destinations ...any) error {
	err := r.row.Scan(destinations...)
	for _, destination := range destinations {
		switch d := destination.(type) {
		case *string:
			r.bytes += len(*d)
		case **string:
			if *d != nil {
				r.bytes += len(**d)
			}
		case *[]byte:
			r.bytes += len(*d)
		}
	}
	return err
}

// pageOf runs a list's query. The page ends with the item that reaches escrow.MaxPageBytes,
// and no more is read.
func pageOf[T any](
	ctx context.Context, db database, l *list, page escrow.PageRequest, scan func(row) (T, error),
) (escrow.Page[T], error) {
	found := escrow.Page[T]{Items: []T{}}
	var size sizedRow
	sql, args := l.page(page, db.sendsWhole())
	err := db.list(ctx, sql, args, func(r row) error {
		if len(found.Items) == page.Limit || size.bytes >= escrow.MaxPageBytes {
			found.More = true
			return errEnough
		}

		size.row = r
		item, err := scan(&size)
		if err == nil {
			found.Items = append(found.Items, item)
		}
		return err
	})
	if err == nil && page.Count {
		found.Count, err = countOf(ctx, db, l)
	}
	if err != nil {
		return escrow.Page[T]{}, Failure(err)
	}
	return found, nil
}

// countOf counts the items of a list, up to one more than escrow.MaxCount.
func countOf(ctx context.Context, db database, l *list) (*int, error) {
	var count int64
	err := db.list(ctx, l.count(), l.args, func(r row) error { return r.Scan(&count) })
	return new(int(count)), err
}

// idPage runs the query of a list that is ordered by id. An id holds the time of
// its making, so a period is a range of ids.
func idPage[T any](
	ctx context.Context, db database, l *list, period escrow.Period, page escrow.PageRequest, scan func(row) (T, error),
) (escrow.Page[T], error) {
	if period.From != nil {
		l.where(l.key+" >= %s", escrow.FirstUUID(*period.From))
	}
	if period.To != nil {
		l.where(l.key+" < %s", escrow.FirstUUID(*period.To))
	}
	if page.After != nil {
		l.after(page, [16]byte(*page.After))
	}
	return pageOf(ctx, db, l, page, scan)
}
