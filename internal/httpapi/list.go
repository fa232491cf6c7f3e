package httpapi

import (
	"encoding/base64"
	"io"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// pageQuery is the parameters that every list takes. All parameters are texts, so that each
// that is not valid is noted as a fault beside the others.
type pageQuery struct {
	Limit  string `query:"limit" doc:"The largest number of items to return, 1 to 1000." default:"100" pattern:"^[0-9]+$"`
	Cursor string `query:"cursor" doc:"Where to go on: the nextCursor of the page before."`
	Order  string `query:"order" doc:"Order of creation; desc is newest first." enum:"asc,desc" default:"asc"`
}

// listQuery is the parameters of a list that has periods. A period includes its beginning
// and not its end, so that one that begins where another ends shares nothing with it.
type listQuery struct {
	pageQuery
	CreatedFrom string `query:"createdFrom" doc:"Only what was created at or after this time." format:"date-time"`
	CreatedTo   string `query:"createdTo" doc:"Only what was created before this time." format:"date-time"`
}

// listRequest is what a list is asked for.
type listRequest struct {
	page   escrow.PageRequest
	period escrow.Period
}

// read reads the parameters, and notes their faults.
func (q listQuery) read(faults *escrow.Faults) listRequest {
	return listRequest{
		page: q.page(faults, escrow.MaxPageSize),
		period: escrow.Period{
			From: optionalTime(faults, "createdFrom", q.CreatedFrom),
			To:   optionalTime(faults, "createdTo", q.CreatedTo),
		},
	}
}

// page reads the parameters of a list whose pages have at most the largest number of
// items.
func (q pageQuery) page(faults *escrow.Faults, largest int) escrow.PageRequest {
	page := escrow.PageRequest{
		Limit:      readLimit(faults, q.Limit, min(escrow.DefaultPageSize, largest), largest),
		Descending: q.Order == "desc",
	}
	if q.Order != "" && q.Order != "asc" && q.Order != "desc" {
		faults.Add("order", "must be asc or desc")
	}

	if q.Cursor != "" {
		// Clients give back what they got; what a cursor is made of is none of their business.
		cursor, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
		if err != nil || len(cursor) != len(escrow.Cursor{}) {
			faults.Add("cursor", "must be the nextCursor of another page")
			return page
		}
		page.After = (*escrow.Cursor)(cursor)
	}
	return page
}

// pageOf cuts the page that was asked for out of a list that is short enough to be
// read as a whole.
func pageOf[T any](
	whole []T, list listRequest, createdAt func(T) time.Time, cursor func(T) escrow.Cursor,
) (page escrow.Page[T]) {
	slices.SortStableFunc(whole, func(a, b T) int { return createdAt(a).Compare(createdAt(b)) })
	if list.page.Descending {
		slices.Reverse(whole)
	}

	// A cursor is an item's place. Where that item is gone, so is the rest of the list.
	after, from, to := list.page.After, list.period.From, list.period.To
	for _, item := range whole {
		at := createdAt(item)
		switch {
		case after != nil:
			if *after == cursor(item) {
				after = nil
			}
		case from != nil && at.Before(*from) || to != nil && !at.Before(*to):
		case len(page.Items) == list.page.Limit:
			page.More = true
		default:
			page.Items = append(page.Items, item)
		}
	}
	return page
}

// listView is a page of a list, for the API's description.
type listView[T any] struct {
	Data       []T        `json:"data" nullable:"false"`
	Pagination pagination `json:"pagination"`
}

// pagination says where the list goes on.
type pagination struct {
	Limit int `json:"limit" doc:"How many items were asked for."`
	// NextCursor is null on the last page.
	NextCursor *string `json:"nextCursor" doc:"The cursor of the next page; null on the last."`
	HasMore    bool    `json:"hasMore" doc:"Whether the list goes on."`
}

// listed answers a page of a list; view shows an item, and cursor tells its place in the
// list.
func listed[T, V any](page escrow.Page[T], limit int, view func(T) V, cursor func(T) escrow.Cursor) reply {
	return ok(list[T, V]{page: page, limit: limit, view: view, cursor: cursor})
}

// list is a page of a list that is written item by item. In JSON it is a listView.
type list[T, V any] struct {
	page   escrow.Page[T]
	limit  int
	view   func(T) V
	cursor func(T) escrow.Cursor
}

// writeJSON implements streamed. The page ends before the item with which the answer would
// pass escrow.MaxPageBytes: the JSON of an item may be larger than its row.
func (l list[T, V]) writeJSON(w io.Writer) error {
	if _, err := io.WriteString(w, `{"data":[`); err != nil {
		return err
	}

	sent, size := 0, 0
	var text []byte
	for i, item := range l.page.Items {
		text = text[:0]
		if i > 0 {
			text = append(text, ',')
		}
		var err error
		if text, err = appendJSON(text, l.view(item)); err != nil {
			return err
		}
		if size += len(text); size > escrow.MaxPageBytes && i > 0 {
			break
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		sent++
	}

	end, err := appendJSON([]byte(`],"pagination":`), l.pagination(sent))
	if err == nil {
		_, err = w.Write(append(end, "}\n"...))
	}
	return err
}

// pagination says where the list goes on after so many of the page's items.
func (l list[T, V]) pagination(sent int) pagination {
	p := pagination{Limit: l.limit, HasMore: l.page.More || sent < len(l.page.Items)}

	// The place is that of the last item: what is created meanwhile moves no page.
	if p.HasMore && sent > 0 {
		last := l.cursor(l.page.Items[sent-1])
		p.NextCursor = new(base64.RawURLEncoding.EncodeToString(last[:]))
	}
	return p
}
