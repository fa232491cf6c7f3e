package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// pageQuery is the parameters that every list takes. The tag's bound on limit is
// escrow.MaxPageSize, its default escrow.DefaultPageSize.
type pageQuery struct {
	Limit  int64  `query:"limit" doc:"The largest number of items to return." minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" doc:"Where to go on: the nextCursor of the page before."`
	Order  string `query:"order" doc:"Order of creation; desc is newest first." enum:"asc,desc" default:"asc"`
	Count  bool   `query:"count" doc:"true adds pagination.count, how many items all pages have." default:"false"`
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
	// of is what is listed, as the path names it.
	of     string
	page   escrow.PageRequest
	period escrow.Period
}

// read reads the parameters, and notes their faults. Of names what is listed.
func (q listQuery) read(faults *escrow.Faults, of string) listRequest {
	list := q.pageQuery.read(faults, of)
	list.period = escrow.Period{
		From: optionalTime(faults, "createdFrom", q.CreatedFrom),
		To:   optionalTime(faults, "createdTo", q.CreatedTo),
	}
	return list
}

// read reads the parameters of a list without periods.
func (q pageQuery) read(faults *escrow.Faults, of string) listRequest {
	list := listRequest{of: of, page: escrow.PageRequest{
		Limit:      int(q.Limit),
		Descending: q.Order == "desc",
		Count:      q.Count,
	}}
	if q.Cursor != "" {
		if list.page.After = list.readCursor(q.Cursor); list.page.After == nil {
			faults.Add("cursor", "must be the nextCursor of another page of this list")
		}
	}
	return list
}

// A cursor is a sign of its list and a place in it: that of another list would begin
// somewhere, and look like an answer. Clients give back what they got; what it is made of is
// none of their business.

// signLength is that of the sign, in bytes.
const signLength = 2

func (l listRequest) sign() []byte {
	hash := sha256.Sum256([]byte(l.of))
	return hash[:signLength]
}

func (l listRequest) cursorText(place escrow.Cursor) string {
	return base64.RawURLEncoding.EncodeToString(append(l.sign(), place[:]...))
}

// readCursor returns the place of a cursor; nil for what is none of this list.
func (l listRequest) readCursor(text string) *escrow.Cursor {
	cursor, err := base64.RawURLEncoding.Strict().DecodeString(text)
	place, mine := bytes.CutPrefix(cursor, l.sign())
	if err != nil || !mine || len(place) != len(escrow.Cursor{}) {
		return nil
	}
	return (*escrow.Cursor)(place)
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
	after, count := list.page.After, 0
	for _, item := range whole {
		inPeriod := list.period.Has(createdAt(item))
		if inPeriod {
			count++
		}
		switch {
		case after != nil:
			if *after == cursor(item) {
				after = nil
			}
		case !inPeriod:
		case len(page.Items) == list.page.Limit:
			page.More = true
		default:
			page.Items = append(page.Items, item)
		}
	}
	if list.page.Count {
		page.Count = &count
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
	Count      string  `json:"count,omitempty" doc:"With count=true, how many items all pages have: a number up to 10000, or 10000+ for more. In lists by last steps a smaller number can have a + behind it, too, where not all steps were looked at." pattern:"^[0-9]+\\+?$" example:"42"`
}

// listed answers a page of a list; view shows an item, and cursor tells its place in the
// list.
func listed[T, V any](
	request listRequest, page escrow.Page[T], view func(T) V, cursor func(T) escrow.Cursor,
) reply {
	body := list[T, V]{request: request, page: page, view: view, cursor: cursor}
	return reply{status: http.StatusOK, contentType: web.ContentTypeJSON, stream: body.writeJSON}
}

// list is a page of a list that is written item by item. In JSON it is a listView.
type list[T, V any] struct {
	request listRequest
	page    escrow.Page[T]
	view    func(T) V
	cursor  func(T) escrow.Cursor
}

// writeJSON writes the page as JSON with an end of line. It ends before the item with which the answer would
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
	p := pagination{Limit: l.request.page.Limit, HasMore: l.page.More || sent < len(l.page.Items)}
	if count := l.page.Count; count != nil {
		p.Count = strconv.Itoa(min(*count, escrow.MaxCount))
		if l.page.AtLeast || *count > escrow.MaxCount {
			p.Count += "+"
		}
	}
	if next := nextCursor(l.page, sent, l.cursor); next != nil {
		p.NextCursor = new(l.request.cursorText(*next))
	}
	return p
}

// nextCursor is where a list goes on after so many of a page's items; nil where it ends.
func nextCursor[T any](page escrow.Page[T], sent int, cursor func(T) escrow.Cursor) *escrow.Cursor {
	switch {
	case sent == len(page.Items) && page.Next != nil:
		return page.Next
	case sent > 0 && (page.More || sent < len(page.Items)):
		// The place is that of the last item: what is created meanwhile moves no page.
		return new(cursor(page.Items[sent-1]))
	}
	return nil
}
