package httpapi

import (
	"encoding/base64"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// jsonName is the name in a json or query tag.
func jsonName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	return name
}

// decodeQuery reads the parameters of a query into the struct that into points
// to, whose fields are strings with a query tag. Parameters that it does not have,
// those given twice and what cannot be read are faults: a filter that is misspelt
// must not list everything.
func decodeQuery(query string, into any, faults *escrow.Faults) {
	if query == "" {
		return
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		faults.Add("query", "must be pairs like name=value, joined by &, in percent-encoding")
	}
	structure := reflect.ValueOf(into).Elem()
	known := make(map[string]bool)
	for _, field := range reflect.VisibleFields(structure.Type()) {
		name := field.Tag.Get("query")
		if name == "" {
			continue
		}
		known[name] = true
		given := values[name]
		switch {
		case len(given) == 0:
		case len(given) > 1:
			faults.Add(name, "must be given once")
		case !utf8.ValidString(given[0]) || strings.ContainsFunc(given[0], unicode.IsControl):
			// No text that is kept is like this, and PostgreSQL takes no such parameter.
			faults.Add(name, "must be valid UTF-8 without control characters")
		default:
			structure.FieldByIndex(field.Index).SetString(given[0])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !known[name] {
			faults.Add(shortened(name), "is not a known parameter")
		}
	}
}

// pageQuery is the parameters that every list takes.
type pageQuery struct {
	Limit  string `query:"limit" doc:"How many items at the most, 1 to 1000." default:"100" pattern:"^[0-9]+$"`
	Cursor string `query:"cursor" doc:"Where to go on: the nextCursor of the page before."`
	Order  string `query:"order" doc:"Order of creation; desc is newest first." enum:"asc,desc" default:"asc"`
}

// listQuery is the parameters of a list that has periods.
type listQuery struct {
	pageQuery
	CreatedFrom string `query:"createdFrom" doc:"Only what was created at or after this time." format:"date-time"`
	CreatedTo   string `query:"createdTo" doc:"Only what was created before this time." format:"date-time"`
}

// tenantQuery is the parameter that names an institution.
type tenantQuery struct {
	InstitutionID string `query:"institutionId" doc:"Whose resources. The root key must name it; a tenant's key acts for its own institution and may leave it out."`
}

// listReading is what a handler has read of a list's query so far.
type listReading struct {
	page   escrow.PageRequest
	period escrow.Period
	faults escrow.Faults
}

// readList reads a list's query; list is the listQuery within it.
func (c *call) readList(query any, list *listQuery) *listReading {
	read := &listReading{}
	decodeQuery(c.request.URL.RawQuery, query, &read.faults)
	read.page = list.page(&read.faults, escrow.MaxPageSize)
	read.period = list.period(&read.faults)
	return read
}

func (q pageQuery) page(faults *escrow.Faults, largest int) escrow.PageRequest {
	page := escrow.PageRequest{
		Limit: readLimit(faults, q.Limit, min(escrow.DefaultPageSize, largest), largest), Descending: q.Order == "desc",
	}
	if q.Order != "" && q.Order != "asc" && q.Order != "desc" {
		faults.Add("order", "must be asc or desc")
	}
	if q.Cursor != "" {
		cursor, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
		if err != nil || len(cursor) != len(escrow.Cursor{}) {
			faults.Add("cursor", "must be the nextCursor of another page")
			return page
		}
		page.After = (*escrow.Cursor)(cursor)
	}
	return page
}

// readLimit reads how many items are asked for, from 1 to the largest number; the
// standard number when left out.
func readLimit(faults *escrow.Faults, text string, standard, largest int) int {
	if text == "" {
		return standard
	}
	// ParseUint takes no sign.
	limit, err := strconv.ParseUint(text, 10, 16)
	if err != nil || limit < 1 || int(limit) > largest {
		faults.Add("limit", "must be a whole number from 1 to %d", largest)
	}
	return int(limit)
}

func (q listQuery) period(faults *escrow.Faults) escrow.Period {
	return escrow.Period{
		From: optionalTime(faults, "createdFrom", q.CreatedFrom), To: optionalTime(faults, "createdTo", q.CreatedTo),
	}
}

// optionalTime reads a parameter; it stays nil where none is given.
func optionalTime(faults *escrow.Faults, field, text string) *time.Time {
	if text == "" {
		return nil
	}
	at, err := escrow.ParseTime(text)
	addFault(faults, field, err)
	return &at
}

// pageOf cuts the page that was asked for out of a list that is short enough to be
// read as a whole.
func pageOf[T any](
	whole []T, read *listReading, createdAt func(T) time.Time, cursor func(T) escrow.Cursor,
) (page escrow.Page[T]) {
	slices.SortStableFunc(whole, func(a, b T) int { return createdAt(a).Compare(createdAt(b)) })
	if read.page.Descending {
		slices.Reverse(whole)
	}
	after := read.page.After
	for _, item := range whole {
		at := createdAt(item)
		switch {
		case after != nil:
			if *after == cursor(item) {
				after = nil
			}
		case read.period.From != nil && at.Before(*read.period.From) || read.period.To != nil && !at.Before(*read.period.To):
		case len(page.Items) == read.page.Limit:
			page.More = true
		default:
			page.Items = append(page.Items, item)
		}
	}
	return page
}

func addFault(faults *escrow.Faults, field string, err error) {
	if err != nil {
		faults.Add(field, "%s", err)
	}
}

// optionalID reads an id out of a parameter; it stays nil where none is given.
func optionalID[K escrow.IDKind](faults *escrow.Faults, field, text string, into **escrow.ID[K]) {
	if text != "" {
		id, err := escrow.ParseID[K](text)
		addFault(faults, field, err)
		*into = &id
	}
}

// listView is a page of a list.
type listView[T any] struct {
	Data       []T        `json:"data" nullable:"false"`
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	Limit int `json:"limit" doc:"How many items were asked for."`
	// NextCursor is null on the last page.
	NextCursor *string `json:"nextCursor" doc:"The cursor of the next page; null on the last."`
	HasMore    bool    `json:"hasMore" doc:"Whether the list goes on."`
}

// listed makes the view of a page; cursor tells an item's place.
func listed[T, V any](page escrow.Page[T], limit int, view func(T) V, cursor func(T) escrow.Cursor) reply {
	list := listView[V]{Data: make([]V, len(page.Items)), Pagination: pagination{Limit: limit, HasMore: page.More}}
	for i, item := range page.Items {
		list.Data[i] = view(item)
	}
	if page.More && len(page.Items) > 0 {
		last := cursor(page.Items[len(page.Items)-1])
		next := base64.RawURLEncoding.EncodeToString(last[:])
		list.Pagination.NextCursor = &next
	}
	return ok(list)
}
