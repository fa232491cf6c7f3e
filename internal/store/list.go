package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// list builds the query of a page: conditions joined by AND, in the order of a
// key column that the items' cursors hold.
type list struct {
	from       string // "SELECT … FROM …"
	key        string // the column of the order
	conditions []string
	args       []any
}

// newList begins the query of a page, in the order of a key column.
func newList(from, key string) *list { return &list{from: from, key: key} }

// listOf begins the query of a page of a table's rows.
func listOf[T any](t *table[T], key string) *list {
	return newList("SELECT "+t.list+" FROM "+t.name, key)
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

func (l *list) sql(page escrow.PageRequest) string {
	var sql strings.Builder
	sql.WriteString(l.from)
	for i, condition := range l.conditions {
		if i == 0 {
			sql.WriteString(" WHERE ")
		} else {
			sql.WriteString(" AND ")
		}
		sql.WriteString(condition)
	}

	order := "ASC"
	if page.Descending {
		order = "DESC"
	}

	// One more than asked for tells whether the list goes on.
	fmt.Fprintf(&sql, " ORDER BY %s %s LIMIT %d", l.key, order, page.Limit+1)
	return sql.String()
}

// pageOf runs a list's query.
func pageOf[T any](
	ctx context.Context, db database, l *list, page escrow.PageRequest, scan func(row) (T, error),
) (escrow.Page[T], error) {
	items := []T{}
	if err := db.list(ctx, l.sql(page), l.args, appendRow(&items, scan)); err != nil {
		return escrow.Page[T]{}, Failure(err)
	}
	if len(items) > page.Limit {
		return escrow.Page[T]{Items: items[:page.Limit], More: true}, nil
	}
	return escrow.Page[T]{Items: items}, nil
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
