package store

import (
	"context"
	"fmt"
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
	// large is the column that most of a row's bytes are in; empty where rows are small.
	large      string
	conditions []string
	args       []any
}

// listOf begins the query of a page of a table's rows.
func listOf[T any](t *table[T], key string) *list {
	return &list{columns: t.list, table: t.name, key: key, large: t.large}
}

// where adds a condition; each %s of it becomes the parameter of an argument.
func (l *list) where(condition string, args ...any) {
	places := make([]any, len(args))
	for i, arg := range args {
		l.args = append(l.args, arg)
		places[i] = fmt.Sprintf("$%d", len(l.args))
	}
	l.conditions = append(l.conditions, fmt.Sprintf(condition, places...))
}

// whereText asks for a column's value, unless it is empty.
func (l *list) whereText(column, value string) {
	if value != "" {
		l.where(column+" = %s", value)
	}
}

// after restricts the list to what follows a page's cursor.
func (l *list) after(page escrow.PageRequest, cursor any) {
	if page.Descending {
		l.where(l.key+" < %s", cursor)
	} else {
		l.where(l.key+" > %s", cursor)
	}
}

// sql is the query; whole says that the database sends all rows, however many are wanted.
func (l *list) sql(page escrow.PageRequest, whole bool) string {
	order := "ASC"
	if page.Descending {
		order = "DESC"
	}
	if !whole || l.large == "" {
		return "SELECT " + l.columns + l.rows(page, order)
	}

	// The database adds up the sizes of rows without reading what is large in them, and leaves
	// out those that no page has room for. The last one tells that the list goes on.
	return "SELECT " + l.columns + " FROM (SELECT *, sum(bytes) OVER (ORDER BY place " + order +
		" ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS earlier FROM (SELECT " + l.columns + ", " +
		l.key + " AS place, coalesce(octet_length(" + l.large + "), 0) AS bytes" + l.rows(page, order) +
		") AS found) AS sized WHERE coalesce(earlier, 0) < " + strconv.Itoa(escrow.MaxPageBytes) +
		" ORDER BY place " + order
}

// rows is the query behind its columns.
func (l *list) rows(page escrow.PageRequest, order string) string {
	var sql strings.Builder
	sql.WriteString(" FROM " + l.table)
	for i, condition := range l.conditions {
		if i == 0 {
			sql.WriteString(" WHERE ")
		} else {
			sql.WriteString(" AND ")
		}
		sql.WriteString(condition)
	}

	// One more than asked for tells whether the list goes on.
	fmt.Fprintf(&sql, " ORDER BY %s %s LIMIT %d", l.key, order, page.Limit+1)
	return sql.String()
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
	err := db.list(ctx, l.sql(page, db.sendsWhole()), l.args, func(r row) error {
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
	if err != nil {
		return escrow.Page[T]{}, Failure(err)
	}
	return found, nil
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
