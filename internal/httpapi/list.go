package httpapi

import (
	"encoding/base64"
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

// listView is a page of a list.
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
	list := listView[V]{
		Data:       make([]V, len(page.Items)),
		Pagination: pagination{Limit: limit, HasMore: page.More},
	}
	for i, item := range page.Items {
		list.Data[i] = view(item)
	}

	// The place is that of the last item: what is created meanwhile moves no page.
	if page.More && len(page.Items) > 0 {
		last := cursor(page.Items[len(page.Items)-1])
		next := base64.RawURLEncoding.EncodeToString(last[:])
		list.Pagination.NextCursor = &next
	}
	return ok(list)
}
