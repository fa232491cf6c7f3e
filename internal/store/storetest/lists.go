package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid"
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
	t *testing.T, items []T, restrictions []restriction[F, T], cursor func(T) escrowgrid.Cursor,
	list func(F, escrowgrid.PageRequest) (escrowgrid.Page[T], error),
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
				got := walk(t, what, max(limit, 1), descending, cursor, func(page escrowgrid.PageRequest) (escrowgrid.Page[T], error) {
					return list(filter, page)
				})
				equal(t, what, want, got)
			}
			slices.Reverse(want)
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
	t *testing.T, what string, limit int, descending bool, cursor func(T) escrowgrid.Cursor,
	list func(escrowgrid.PageRequest) (escrowgrid.Page[T], error),
) []T {
	t.Helper()
	items := []T{}
	request := escrowgrid.PageRequest{Limit: limit, Descending: descending}
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
func inPeriod[F, T any](at func(T) time.Time, from, to T, of func(*F) *escrowgrid.Period) []restriction[F, T] {
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
func (f *fixture) listed(of escrowgrid.InstitutionID) (s samples) {
	for i := range 23 {
		at := f.moment()
		s.keys = append(s.keys, escrowgrid.APIKey{
			ID: escrowgrid.KeyID(f.uuid()), InstitutionID: of, Label: "k", Role: escrowgrid.RoleAdmin, CreatedAt: at,
			RevokedAt: optional(moments(), f.random.IntN(3)),
		})
		s.templates = append(s.templates, escrowgrid.AssetTemplate{
			ID: escrowgrid.TemplateID(f.uuid()), InstitutionID: of, Name: "t", Config: configs()[0], CreatedAt: at,
		})
		s.assets = append(s.assets, escrowgrid.Asset{
			ID: escrowgrid.AssetID(f.uuid()), InstitutionID: of, TemplateID: s.templates[i/2].ID, Label: "a", CreatedAt: at,
		})
		s.positions = append(s.positions, withMoney(escrowgrid.Position{
			ID: escrowgrid.PositionID(f.uuid()), InstitutionID: of, AssetID: s.assets[f.random.IntN(min(i+1, 2))].ID,
			HolderReference: pick(texts(), f.random.IntN(2)), ExternalReference: pick([]string{"", "x", "y"}, f.random.IntN(3)),
			Currency: pick([]escrowgrid.Currency{"USD", "JPY"}, f.random.IntN(2)), Version: 1, CreatedAt: at, UpdatedAt: at,
		}, pick(escrowgrid.States(), f.random.IntN(2)), 1000))
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
	theirs.keys, theirs.positions = slices.Clone(s.keys), slices.Clone(s.positions)
	f.writeSamples(other, theirs.of(other))
	ctx := f.t.Context()

	f.t.Run("institutions", func(t *testing.T) {
		for range 12 {
			f.institution()
		}
		all := must(f.Institutions(ctx, escrowgrid.Period{}, everything())).Items
		at := func(i escrowgrid.Institution) time.Time { return i.CreatedAt }
		checkList(t, all, inPeriod(at, all[3], all[9], func(p *escrowgrid.Period) *escrowgrid.Period { return p }),
			func(i escrowgrid.Institution) escrowgrid.Cursor { return escrowgrid.IDCursor(i.ID) },
			func(p escrowgrid.Period, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Institution], error) {
				return f.Institutions(ctx, p, page)
			})
	})
	f.t.Run("keys", func(t *testing.T) {
		at := func(k escrowgrid.APIKey) time.Time { return k.CreatedAt }
		period := inPeriod(at, s.keys[4], s.keys[19], func(filter *escrowgrid.KeyFilter) *escrowgrid.Period { return &filter.Period })
		cursor := func(k escrowgrid.APIKey) escrowgrid.Cursor { return escrowgrid.IDCursor(k.ID) }
		for _, revokedToo := range []bool{false, true} {
			keys := slices.DeleteFunc(slices.Clone(s.keys), func(k escrowgrid.APIKey) bool { return k.RevokedAt != nil && !revokedToo })
			checkList(t, keys, period, cursor,
				func(filter escrowgrid.KeyFilter, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.APIKey], error) {
					filter.IncludeRevoked = revokedToo
					return f.Keys(ctx, of, filter, page)
				})
		}
	})
	f.t.Run("templates", func(t *testing.T) {
		at := func(template escrowgrid.AssetTemplate) time.Time { return template.CreatedAt }
		checkList(t, s.templates, inPeriod(at, s.templates[4], s.templates[19], func(p *escrowgrid.Period) *escrowgrid.Period { return p }),
			func(template escrowgrid.AssetTemplate) escrowgrid.Cursor { return escrowgrid.IDCursor(template.ID) },
			func(p escrowgrid.Period, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.AssetTemplate], error) {
				return f.Templates(ctx, of, p, page)
			})
	})
	f.t.Run("assets", func(t *testing.T) {
		at := func(a escrowgrid.Asset) time.Time { return a.CreatedAt }
		template := s.assets[9].TemplateID
		checkList(t, s.assets, append(
			inPeriod(at, s.assets[4], s.assets[19], func(filter *escrowgrid.AssetFilter) *escrowgrid.Period { return &filter.Period }),
			restriction[escrowgrid.AssetFilter, escrowgrid.Asset]{
				"template", func(filter *escrowgrid.AssetFilter) { filter.Template = &template },
				func(a escrowgrid.Asset) bool { return a.TemplateID == template },
			}),
			func(a escrowgrid.Asset) escrowgrid.Cursor { return escrowgrid.IDCursor(a.ID) },
			func(filter escrowgrid.AssetFilter, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Asset], error) {
				return f.Assets(ctx, of, filter, page)
			})
	})
	f.t.Run("positions", func(t *testing.T) { f.checkPositions(t, of, s) })
	f.t.Run("refused attempts", f.checkRefusals)
}

func (f *fixture) checkPositions(t *testing.T, of escrowgrid.InstitutionID, s samples) {
	type restricted = restriction[escrowgrid.PositionFilter, escrowgrid.Position]
	at := func(p escrowgrid.Position) time.Time { return p.CreatedAt }
	asset := s.assets[1].ID
	restrictions := append(
		inPeriod(at, s.positions[4], s.positions[19], func(filter *escrowgrid.PositionFilter) *escrowgrid.Period { return &filter.Period }),
		restricted{
			"asset", func(filter *escrowgrid.PositionFilter) { filter.Asset = &asset },
			func(p escrowgrid.Position) bool { return p.AssetID == asset },
		},
		restricted{
			"holder", func(filter *escrowgrid.PositionFilter) { filter.HolderReference = texts()[1] },
			func(p escrowgrid.Position) bool { return p.HolderReference == texts()[1] },
		},
		restricted{
			"external reference", func(filter *escrowgrid.PositionFilter) { filter.ExternalReference = "x" },
			func(p escrowgrid.Position) bool { return p.ExternalReference == "x" },
		},
		restricted{
			"state", func(filter *escrowgrid.PositionFilter) { filter.State = escrowgrid.StateFunded },
			func(p escrowgrid.Position) bool { return p.State == escrowgrid.StateFunded },
		},
		restricted{
			"currency", func(filter *escrowgrid.PositionFilter) { filter.Currency = "JPY" },
			func(p escrowgrid.Position) bool { return p.Currency == "JPY" },
		},
	)
	checkList(t, s.positions, restrictions,
		func(p escrowgrid.Position) escrowgrid.Cursor { return escrowgrid.IDCursor(p.ID) },
		func(filter escrowgrid.PositionFilter, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Position], error) {
			return f.Positions(t.Context(), of, filter, page)
		})
}

func (f *fixture) checkRefusals(t *testing.T) {
	type restricted = restriction[escrowgrid.RefusalFilter, escrowgrid.RefusedAttempt]
	of := escrowgrid.InstitutionID(f.uuid())
	var attempts []escrowgrid.RefusedAttempt
	for i := range 23 {
		attempt := escrowgrid.RefusedAttempt{
			At: f.moment(), InstitutionID: pick([]escrowgrid.InstitutionID{{}, of}, f.random.IntN(2)), Actor: pick([]string{"root", "unknown"}, f.random.IntN(2)),
			Code: escrowgrid.CodeInvalidKey, Method: "POST", Path: pick(texts(), i), Client: "2001:db8::1", RequestID: pick(texts(), i+1),
		}
		attempt.ID = escrowgrid.EntryID(f.uuid())
		attempts = append(attempts, attempt)
	}
	for _, half := range [][]escrowgrid.RefusedAttempt{attempts[:11], attempts[11:], nil} {
		if err := f.LogRefusals(t.Context(), half); err != nil {
			t.Fatal(err)
		}
	}
	at := func(a escrowgrid.RefusedAttempt) time.Time { return a.At }
	restrictions := append(
		inPeriod(at, attempts[4], attempts[19], func(filter *escrowgrid.RefusalFilter) *escrowgrid.Period { return &filter.Period }),
		restricted{
			"institution", func(filter *escrowgrid.RefusalFilter) { filter.Institution = &of },
			func(a escrowgrid.RefusedAttempt) bool { return a.InstitutionID == of },
		},
		restricted{
			"actor", func(filter *escrowgrid.RefusalFilter) { filter.Actor = "unknown" },
			func(a escrowgrid.RefusedAttempt) bool { return a.Actor == "unknown" },
		},
	)
	checkList(t, attempts, restrictions,
		func(a escrowgrid.RefusedAttempt) escrowgrid.Cursor { return escrowgrid.IDCursor(a.ID) },
		func(filter escrowgrid.RefusalFilter, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.RefusedAttempt], error) {
			return f.Refusals(t.Context(), filter, page)
		})
}
