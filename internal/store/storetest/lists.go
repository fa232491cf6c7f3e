package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// restriction is one condition of a list's filter, and what it keeps.
type restriction[F, T any] struct {
	name string
	set  func(*F)
	keep func(T) bool
}

// checkList compares a list with its items, which come oldest first, under the
// restrictions in all combinations, in both orders, page by page.
func checkList[F, T any](
	t *testing.T, items []T, restrictions []restriction[F, T], cursor func(T) escrow.Cursor,
	list func(F, escrow.PageRequest) (escrow.Page[T], error),
) {
	t.Helper()
	for chosen := range 1 << len(restrictions) {
		var filter F
		var names []string
		want := slices.Clone(items)
		for i, r := range restrictions {
			if chosen>>i&1 == 1 {
				names = append(names, r.name)
				r.set(&filter)
				want = slices.DeleteFunc(want, func(item T) bool { return !r.keep(item) })
			}
		}
		for _, descending := range []bool{false, true} {
			what := fmt.Sprintf("list by %s, descending %t", strings.Join(names, ", "), descending)
			limits := []int{5}
			if chosen == 0 {
				// The first page ends exactly at the end of the list, or one before it.
				limits = append(limits, len(want), len(want)-1, 1)
			}
			for _, limit := range limits {
				got := walk(t, what, max(limit, 1), descending, cursor, func(page escrow.PageRequest) (escrow.Page[T], error) {
					return list(filter, page)
				})
				equal(t, what, want, got)
			}
			slices.Reverse(want)
		}
		counted, err := list(filter, escrow.PageRequest{Limit: 1, Count: true})
		if err != nil || counted.Count == nil || *counted.Count != len(want) {
			t.Errorf("list by %s: %d items are counted as %v, %v", strings.Join(names, ", "), len(want), counted.Count, err)
		}
		if t.Failed() {
			return // The other combinations fail alike.
		}
	}
}

// maxPages is more than any list here has.
const maxPages = 1000

// walk reads a list from its start to its end and checks each page's form.
func walk[T any](
	t *testing.T, what string, limit int, descending bool, cursor func(T) escrow.Cursor,
	list func(escrow.PageRequest) (escrow.Page[T], error),
) []T {
	t.Helper()
	items := []T{}
	request := escrow.PageRequest{Limit: limit, Descending: descending}
	for range maxPages {
		page, err := list(request)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		items = append(items, page.Items...)
		if len(page.Items) > limit || page.More && len(page.Items) < limit {
			t.Fatalf("%s: a page of %d has %d items, and more is %t", what, limit, len(page.Items), page.More)
		}
		if len(page.Items) == 0 && request.After != nil {
			t.Errorf("%s: the page before said that there was more", what)
		}
		if !page.More {
			return items
		}
		request.After = new(cursor(page.Items[len(page.Items)-1]))
	}
	t.Fatalf("%s: it has no end", what)
	return nil
}

// inPeriod are the restrictions to a period that begins with one item, to the
// microsecond, and ends right before another.
func inPeriod[F, T any](at func(T) time.Time, from, to T, of func(*F) *escrow.Period) []restriction[F, T] {
	return []restriction[F, T]{
		{
			"createdFrom", func(filter *F) { of(filter).From = new(at(from)) },
			func(item T) bool { return !at(item).Before(at(from)) },
		},
		{
			"createdTo", func(filter *F) { of(filter).To = new(at(to)) },
			func(item T) bool { return at(item).Before(at(to)) },
		},
	}
}

// listed is a full set of rows of an institution, one microsecond apart.
func (f *fixture) listed(of escrow.InstitutionID) (s samples) {
	for i := range 23 {
		at := f.moment()
		s.keys = append(s.keys, escrow.APIKey{
			ID: escrow.KeyID(f.uuid()), InstitutionID: of, Label: "k", Role: escrow.RoleAdmin, CreatedAt: at, Version: 1,
			RevokedAt: optional(moments(), f.random.IntN(3)),
		})
		s.users = append(s.users, escrow.User{
			ID: escrow.UserID(f.uuid()), InstitutionID: of, Identity: escrow.Identity{Issuer: "https://id.example", Subject: fmt.Sprint(i)},
			JoinedAt: at, UpdatedAt: at, Version: 1, SuspendedAt: optional(moments(), f.random.IntN(3)), Suspensions: 1,
		})
		s.templates = append(s.templates, escrow.AssetTemplate{
			ID: escrow.TemplateID(f.uuid()), InstitutionID: of, Name: "t", Config: configs()[0], Upkeep: escrow.Upkeep{Version: 1, CreatedAt: at},
		})
		s.assets = append(s.assets, escrow.Asset{
			ID: escrow.AssetID(f.uuid()), InstitutionID: of, TemplateID: s.templates[i/2].ID, Label: "a", Upkeep: escrow.Upkeep{Version: 1, CreatedAt: at},
		})
		s.positions = append(s.positions, withMoney(escrow.Position{
			ID: escrow.PositionID(f.uuid()), InstitutionID: of, AssetID: s.assets[f.random.IntN(min(i+1, 2))].ID,
			HolderReference: pick(texts(), f.random.IntN(2)), ExternalReference: pick([]string{"", "x", "y"}, f.random.IntN(3)),
			Currency: pick(currencies(), f.random.IntN(3)), Version: 1, CreatedAt: at, UpdatedAt: at,
		}, pick(escrow.States(), f.random.IntN(3)), 1000))
	}
	return s
}

// The lists by id. Another institution holds rows of the same ids and contents,
// which must not appear.
func testLists(f *fixture) {
	of, other := f.institution(), f.institution()
	s := f.listed(of)
	f.writeSamples(of, s)
	theirs := s
	theirs.keys, theirs.positions, theirs.users = slices.Clone(s.keys), slices.Clone(s.positions), slices.Clone(s.users)
	f.writeSamples(other, theirs.of(other))
	ctx := f.t.Context()

	f.t.Run("institutions", func(t *testing.T) {
		for range 12 {
			f.institution()
		}
		all := must(f.Institutions(ctx, escrow.Period{}, everything())).Items
		at := func(i escrow.Institution) time.Time { return i.CreatedAt }
		checkList(t, all, inPeriod(at, all[3], all[9], func(p *escrow.Period) *escrow.Period { return p }),
			func(i escrow.Institution) escrow.Cursor { return escrow.IDCursor(i.ID) },
			func(p escrow.Period, page escrow.PageRequest) (escrow.Page[escrow.Institution], error) {
				return f.Institutions(ctx, p, page)
			})
	})
	f.t.Run("keys", func(t *testing.T) {
		at := func(k escrow.APIKey) time.Time { return k.CreatedAt }
		period := inPeriod(at, s.keys[4], s.keys[19], func(filter *escrow.KeyFilter) *escrow.Period { return &filter.Period })
		cursor := func(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) }
		for _, revokedToo := range []bool{false, true} {
			keys := slices.DeleteFunc(slices.Clone(s.keys), func(k escrow.APIKey) bool { return k.RevokedAt != nil && !revokedToo })
			checkList(t, keys, period, cursor,
				func(filter escrow.KeyFilter, page escrow.PageRequest) (escrow.Page[escrow.APIKey], error) {
					filter.IncludeRevoked = revokedToo
					return f.Keys(ctx, of, filter, page)
				})
		}
	})
	f.t.Run("users", func(t *testing.T) {
		at := func(u escrow.User) time.Time { return u.JoinedAt }
		period := inPeriod(at, s.users[4], s.users[19], func(filter *escrow.UserFilter) *escrow.Period { return &filter.Period })
		cursor := func(u escrow.User) escrow.Cursor { return escrow.IDCursor(u.ID) }
		for _, suspendedToo := range []bool{false, true} {
			users := slices.DeleteFunc(slices.Clone(s.users), func(u escrow.User) bool { return u.SuspendedAt != nil && !suspendedToo })
			checkList(t, users, period, cursor,
				func(filter escrow.UserFilter, page escrow.PageRequest) (escrow.Page[escrow.User], error) {
					filter.IncludeSuspended = suspendedToo
					return f.Users(ctx, of, filter, page)
				})
		}
	})
	f.t.Run("templates", func(t *testing.T) {
		at := func(template escrow.AssetTemplate) time.Time { return template.CreatedAt }
		for _, some := range [][]escrow.TemplateID{{s.templates[9].ID}, {s.templates[9].ID, s.templates[3].ID, s.templates[20].ID}} {
			checkList(t, s.templates, append(
				inPeriod(at, s.templates[4], s.templates[19], func(filter *escrow.TemplateFilter) *escrow.Period { return &filter.Period }),
				restriction[escrow.TemplateFilter, escrow.AssetTemplate]{
					"within", func(filter *escrow.TemplateFilter) { filter.Within.TemplateIDs = some },
					func(template escrow.AssetTemplate) bool { return slices.Contains(some, template.ID) },
				}),
				func(template escrow.AssetTemplate) escrow.Cursor { return escrow.IDCursor(template.ID) },
				func(filter escrow.TemplateFilter, page escrow.PageRequest) (escrow.Page[escrow.AssetTemplate], error) {
					return f.Templates(ctx, of, filter, page)
				})
		}
	})
	f.t.Run("assets", func(t *testing.T) {
		at := func(a escrow.Asset) time.Time { return a.CreatedAt }
		template := s.assets[9].TemplateID
		assets := []escrow.AssetID{s.assets[8].ID, s.assets[3].ID, s.assets[15].ID, s.assets[2].ID}
		templates := []escrow.TemplateID{template, s.assets[2].TemplateID, s.assets[15].TemplateID}
		for size := range 3 {
			assets, templates := assets[:1+size], templates[:1+size]
			checkList(t, s.assets, append(
				inPeriod(at, s.assets[4], s.assets[19], func(filter *escrow.AssetFilter) *escrow.Period { return &filter.Period }),
				restriction[escrow.AssetFilter, escrow.Asset]{
					"template", func(filter *escrow.AssetFilter) { filter.Template = &template },
					func(a escrow.Asset) bool { return a.TemplateID == template },
				},
				restriction[escrow.AssetFilter, escrow.Asset]{
					"within assets", func(filter *escrow.AssetFilter) { filter.Within.AssetIDs = assets },
					func(a escrow.Asset) bool { return slices.Contains(assets, a.ID) },
				},
				restriction[escrow.AssetFilter, escrow.Asset]{
					"within templates", func(filter *escrow.AssetFilter) { filter.Within.TemplateIDs = templates },
					func(a escrow.Asset) bool { return slices.Contains(templates, a.TemplateID) },
				}),
				func(a escrow.Asset) escrow.Cursor { return escrow.IDCursor(a.ID) },
				func(filter escrow.AssetFilter, page escrow.PageRequest) (escrow.Page[escrow.Asset], error) {
					return f.Assets(ctx, of, filter, page)
				})
		}
	})
	f.t.Run("positions", func(t *testing.T) { f.checkPositions(t, of, s) })
	f.t.Run("refused attempts", f.checkRefusals)
}

// Pages of large items end early, and lose none.
func testPageBytes(f *fixture) {
	of := f.institution()
	asset := f.asset(of)
	metadata := slices.Concat([]byte(`{"a":"`), bytes.Repeat([]byte("x"), escrow.MaxMetadataSize-len(`{"a":""}`)), []byte(`"}`))
	// Three pages, of which small items begin the first.
	const small, large = 100, 130
	for i := range small + large {
		in := escrow.PositionInput{AssetID: asset.String(), HolderReference: "h", Currency: "USD", Amount: "1"}
		if i >= small {
			in.Metadata = metadata
		}
		f.do(of, valid(escrow.NewCreatePosition(in)))
	}
	ctx := f.t.Context()
	checkPageBytes(f.t, "positions", small+large,
		func(p escrow.Position) (escrow.Cursor, int) { return escrow.IDCursor(p.ID), len(p.Metadata) },
		func(page escrow.PageRequest) (escrow.Page[escrow.Position], error) {
			return f.Positions(ctx, of, escrow.PositionFilter{}, page)
		})
	checkPageBytes(f.t, "entries", small+large,
		func(e escrow.Entry) (escrow.Cursor, int) {
			return escrow.SequenceCursor(e.Sequence), len(e.Body) + len(e.Private)
		},
		func(page escrow.PageRequest) (escrow.Page[escrow.Entry], error) {
			return f.Entries(ctx, of, escrow.EntryFilter{LedgerOnly: true}, page)
		})
	last := must(f.Entries(ctx, of, escrow.EntryFilter{}, escrow.PageRequest{Limit: 1, Descending: true})).Items[0].Sequence
	first, _, err := f.Range(ctx, of)
	if err != nil {
		f.t.Fatal(err)
	}
	for after := first - 1; after < last; {
		entries := must(f.StoredPage(ctx, of, after, last))
		size := 0
		for _, e := range entries {
			after++
			if e.Sequence != after {
				f.t.Fatalf("entry %d stands where %d should", e.Sequence, after)
			}
			size += len(e.Body) + len(e.Private)
		}
		if len(entries) == 0 || size > escrow.MaxPageBytes+2*escrow.MaxMetadataSize {
			f.t.Fatalf("a page of stored entries has %d, of %d bytes", len(entries), size)
		}
	}
}

// checkPageBytes walks a list in both orders, and checks each page's size.
func checkPageBytes[T any](
	t *testing.T, what string, count int, look func(T) (escrow.Cursor, int),
	list func(escrow.PageRequest) (escrow.Page[T], error),
) {
	t.Helper()
	for _, descending := range []bool{false, true} {
		request := escrow.PageRequest{Limit: escrow.MaxPageSize, Descending: descending}
		got, pages := 0, 0
		for more := true; more; pages++ {
			page := must(list(request))
			size := 0
			for _, item := range page.Items {
				cursor, bytes := look(item)
				request.After = &cursor
				size += bytes
			}
			if size > escrow.MaxPageBytes+2*escrow.MaxMetadataSize || page.More && size < escrow.MaxPageBytes-escrow.MaxMetadataSize {
				t.Errorf("a page of %s, descending %t, has %d bytes, and more is %t", what, descending, size, page.More)
			}
			got, more = got+len(page.Items), page.More
		}
		if got != count || pages != 3 {
			t.Errorf("%s, descending %t, are %d on %d pages, not %d on 3", what, descending, got, pages, count)
		}
	}
}

func (f *fixture) checkPositions(t *testing.T, of escrow.InstitutionID, s samples) {
	type restricted = restriction[escrow.PositionFilter, escrow.Position]
	at := func(p escrow.Position) time.Time { return p.CreatedAt }
	asset := s.assets[1].ID
	restrictions := append(
		inPeriod(at, s.positions[4], s.positions[19], func(filter *escrow.PositionFilter) *escrow.Period { return &filter.Period }),
		restricted{
			"asset", func(filter *escrow.PositionFilter) { filter.Asset = &asset },
			func(p escrow.Position) bool { return p.AssetID == asset },
		},
		restricted{
			"holder", func(filter *escrow.PositionFilter) { filter.HolderReference = texts()[1] },
			func(p escrow.Position) bool { return p.HolderReference == texts()[1] },
		},
		restricted{
			"external reference", func(filter *escrow.PositionFilter) { filter.ExternalReference = "x" },
			func(p escrow.Position) bool { return p.ExternalReference == "x" },
		},
		restricted{
			"state", func(filter *escrow.PositionFilter) { filter.States = []escrow.State{escrow.StateFunded} },
			func(p escrow.Position) bool { return p.State == escrow.StateFunded },
		},
		restricted{
			"currency", func(filter *escrow.PositionFilter) { filter.Currencies = []money.Code{"JPY"} },
			func(p escrow.Position) bool { return p.Currency.Code == "JPY" },
		},
	)
	cursor := func(p escrow.Position) escrow.Cursor { return escrow.IDCursor(p.ID) }
	list := func(filter escrow.PositionFilter, page escrow.PageRequest) (escrow.Page[escrow.Position], error) {
		return f.Positions(t.Context(), of, filter, page)
	}
	checkList(t, s.positions, restrictions, cursor, list)

	states, words := []escrow.State{escrow.StateFunded, escrow.StateReleased, escrow.StateCreated}, []money.Code{"JPY", "USD"}
	checkList(t, s.positions, append(restrictions[:4],
		restricted{
			"states", func(filter *escrow.PositionFilter) { filter.States = states },
			func(p escrow.Position) bool { return slices.Contains(states, p.State) },
		},
		restricted{
			"currencies", func(filter *escrow.PositionFilter) { filter.Currencies = words },
			func(p escrow.Position) bool { return slices.Contains(words, p.Currency.Code) },
		},
	), cursor, list)
}

func (f *fixture) checkRefusals(t *testing.T) {
	type restricted = restriction[escrow.SecurityEventFilter, escrow.SecurityEvent]
	of := escrow.InstitutionID(f.uuid())
	var attempts []escrow.SecurityEvent
	for i := range 23 {
		attempt := escrow.SecurityEvent{
			At: f.moment(), InstitutionID: pick([]escrow.InstitutionID{{}, of}, f.random.IntN(2)), Actor: pick([]string{"root", "unknown"}, f.random.IntN(2)),
			Code: escrow.CodeInvalidKey, Method: "POST", Path: pick(texts(), i), Client: "2001:db8::1", RequestID: pick(texts(), i+1),
			Count: 1,
		}
		attempt.ID, attempt.LastAt = escrow.EntryID(f.uuid()), attempt.At
		attempts = append(attempts, attempt)
	}
	for _, half := range [][]escrow.SecurityEvent{attempts[:11], attempts[11:], nil} {
		if err := f.AddSecurityEvents(t.Context(), half); err != nil {
			t.Fatal(err)
		}
	}
	// What happened again is counted where it stands.
	attempts[3].Count, attempts[3].LastAt = 99, f.moment()
	if err := f.AddSecurityEvents(t.Context(), attempts[3:4]); err != nil {
		t.Fatal(err)
	}
	at := func(a escrow.SecurityEvent) time.Time { return a.At }
	restrictions := append(
		inPeriod(at, attempts[4], attempts[19], func(filter *escrow.SecurityEventFilter) *escrow.Period { return &filter.Period }),
		restricted{
			"institution", func(filter *escrow.SecurityEventFilter) { filter.Institution = &of },
			func(a escrow.SecurityEvent) bool { return a.InstitutionID == of },
		},
		restricted{
			"actor", func(filter *escrow.SecurityEventFilter) { filter.Actor = "unknown" },
			func(a escrow.SecurityEvent) bool { return a.Actor == "unknown" },
		},
	)
	checkList(t, attempts, restrictions,
		func(a escrow.SecurityEvent) escrow.Cursor { return escrow.IDCursor(a.ID) },
		func(filter escrow.SecurityEventFilter, page escrow.PageRequest) (escrow.Page[escrow.SecurityEvent], error) {
			return f.SecurityEvents(t.Context(), filter, page)
		})
}
