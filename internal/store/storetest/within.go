package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The lists of a key that is restricted to a part of an institution's business.

// estate is what a key can be restricted to parts of: four assets of three templates, and positions
// on them of three holders, in the order of their making.
type estate struct {
	of        escrow.InstitutionID
	templates []escrow.TemplateID
	assets    []escrow.AssetID
	positions []escrow.Position
	// templateOf is the template of each asset.
	templateOf map[escrow.AssetID]escrow.TemplateID
}

func (f *fixture) estate() estate {
	f.t.Helper()
	e := estate{of: f.institution(), templateOf: make(map[escrow.AssetID]escrow.TemplateID)}
	add := func(asset escrow.AssetID, template escrow.TemplateID) {
		e.assets = append(e.assets, asset)
		e.templateOf[asset] = template
	}
	for range 3 {
		asset := f.asset(e.of)
		template := must(f.Asset(f.t.Context(), e.of, asset)).TemplateID
		e.templates = append(e.templates, template)
		add(asset, template)
	}
	second := valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: e.templates[0].String(), Label: "Annex"}))
	add(resource[escrow.Asset](f.do(e.of, second))[0].ID, e.templates[0])

	var ids []escrow.PositionID
	for range 24 {
		create := createPosition(pick(e.assets, f.random.IntN(4)), pick(texts(), f.random.IntN(3)))
		ids = append(ids, resource[escrow.Position](f.do(e.of, create))[0].ID)
	}
	// Their last steps are in another order, and not all are from state to state.
	for _, i := range f.random.Perm(len(ids)) {
		if i%4 > 0 {
			f.do(e.of, transition(ids[i], pick([]escrow.State{escrow.StateFunded, escrow.StateCancelled}, i), ""))
		}
		switch i % 8 {
		case 0, 2:
			f.do(e.of, valid(escrow.NewPlaceHold(ids[i], escrow.HoldInput{Kind: "COMPLIANCE", Reason: "r"}, nil)))
		case 3:
			f.do(e.of, erase(ids[i], "asked for"))
		}
	}
	e.positions = must(f.Positions(f.t.Context(), e.of, escrow.PositionFilter{}, everything())).Items
	return e
}

// byLastStep returns the positions in the order of their last steps.
func (e estate) byLastStep() []escrow.Position {
	return slices.SortedFunc(slices.Values(e.positions), func(a, b escrow.Position) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
}

// restrictions are those to some templates, assets and holders, and conditions of a filter beside them.
func (e estate) restrictions(templates []escrow.TemplateID, assets []escrow.AssetID, holders []string) []restriction[escrow.PositionFilter, escrow.Position] {
	type restricted = restriction[escrow.PositionFilter, escrow.Position]
	states := []escrow.State{escrow.StateCreated, escrow.StateFunded}
	return []restricted{
		{
			"within templates", func(filter *escrow.PositionFilter) { filter.Within.TemplateIDs = templates },
			func(p escrow.Position) bool { return slices.Contains(templates, e.templateOf[p.AssetID]) },
		},
		{
			"within assets", func(filter *escrow.PositionFilter) { filter.Within.AssetIDs = assets },
			func(p escrow.Position) bool { return slices.Contains(assets, p.AssetID) },
		},
		{
			"within holders", func(filter *escrow.PositionFilter) { filter.Within.HolderReferences = holders },
			func(p escrow.Position) bool { return slices.Contains(holders, p.HolderReference) },
		},
		{
			"states", func(filter *escrow.PositionFilter) { filter.States = states },
			func(p escrow.Position) bool { return slices.Contains(states, p.State) },
		},
		{
			"asset", func(filter *escrow.PositionFilter) { filter.Asset = &e.assets[0] },
			func(p escrow.Position) bool { return p.AssetID == e.assets[0] },
		},
		{
			"holder", func(filter *escrow.PositionFilter) { filter.HolderReference = texts()[1] },
			func(p escrow.Position) bool { return p.HolderReference == texts()[1] },
		},
	}
}

// A restricted key's list has what it would have without the restriction, but for what that hides.
func testListsWithin(f *fixture) {
	e := f.estate()
	list := func(filter escrow.PositionFilter, page escrow.PageRequest) (escrow.Page[escrow.Position], error) {
		return f.Positions(f.t.Context(), e.of, filter, page)
	}
	byStep := func(filter escrow.PositionFilter, page escrow.PageRequest) (escrow.Page[escrow.Position], error) {
		filter.Updated.From = &e.positions[0].CreatedAt
		return list(filter, page)
	}
	for name, restrictions := range map[string][]restriction[escrow.PositionFilter, escrow.Position]{
		"one of each":  e.restrictions(e.templates[:1], e.assets[3:], texts()[1:2]),
		"some of each": e.restrictions(e.templates[:2], e.assets[1:], texts()[1:3]),
	} {
		f.t.Run(name, func(t *testing.T) {
			checkList(t, e.positions, restrictions, func(p escrow.Position) escrow.Cursor { return escrow.IDCursor(p.ID) }, list)
		})
		f.t.Run(name+", by their last steps", func(t *testing.T) {
			checkList(t, e.byLastStep(), restrictions, func(p escrow.Position) escrow.Cursor { return escrow.StepCursor(p.UpdatedAt) }, byStep)
		})
	}

	// Another institution's positions and assets are hidden, whatever the key is restricted to.
	other := f.institution()
	for _, within := range []escrow.Restriction{{TemplateIDs: e.templates}, {AssetIDs: e.assets}, {HolderReferences: texts()[:3]}} {
		page, err := f.Positions(f.t.Context(), other, escrow.PositionFilter{Within: within}, everything())
		f.compare("list of another institution", []escrow.Position{}, page.Items, true, err)
	}
	within := escrow.PositionFilter{Within: escrow.Restriction{TemplateIDs: e.templates[:1]}}
	all := must(list(within, everything())).Items
	later := must(list(within, escrow.PageRequest{Limit: 1, After: new(escrow.IDCursor(all[1].ID)), Count: true}))
	equal(f.t, "a later page's only item", all[2:3], later.Items)
	equal(f.t, "the items of all pages", len(all), *later.Count)

	within = escrow.PositionFilter{WithEvents: true, Within: escrow.Restriction{TemplateIDs: e.templates[1:]}}
	for _, p := range must(list(within, everything())).Items {
		steps := p.Version - p.Holds // To place a hold is no step, and neither is an erasure.
		if p.Erased() {
			steps--
		}
		if int64(len(p.Events)) != steps {
			f.t.Errorf("a position of version %d comes with %d events", p.Version, len(p.Events))
		}
	}
}

// A list within templates looks at so many positions for a page, and goes on behind them.
func testListWithinIsBounded(f *fixture) {
	of := f.institution()
	hidden, shown := f.asset(of), f.asset(of)
	const behind, few = 20, 5
	add := func(asset escrow.AssetID, count int) {
		for count > 0 {
			commands := slices.Repeat([]escrow.Command{createPosition(asset, "h")}, min(count, 2000))
			count -= len(f.do(of, commands...))
		}
	}
	add(hidden, escrow.MaxCount+behind)
	add(shown, few)
	want := must(f.Positions(f.t.Context(), of, escrow.PositionFilter{Asset: &shown}, everything())).Items
	filter := escrow.PositionFilter{
		Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{must(f.Asset(f.t.Context(), of, shown)).TemplateID}},
	}
	backward := slices.Clone(want)
	slices.Reverse(backward)

	for name, updated := range map[string]escrow.Period{"by id": {}, "by last steps": {From: new(f.now.Add(-time.Hour))}} {
		filter.Updated = updated
		list := func(page escrow.PageRequest) escrow.Page[escrow.Position] {
			page.Limit = few
			return must(f.Positions(f.t.Context(), of, filter, page))
		}

		first := list(escrow.PageRequest{Count: true})
		if len(first.Items) != 0 || !first.More || first.Next == nil || first.Count == nil || *first.Count != 0 || !first.AtLeast {
			f.t.Fatalf("%s: the first page has %d items, and is %+v", name, len(first.Items), first)
		}
		second := list(escrow.PageRequest{After: first.Next})
		equal(f.t, name+": the second page", want, second.Items)
		if second.More || second.Next != nil {
			f.t.Errorf("%s: the list goes on behind its end, at %v", name, second.Next)
		}

		// Backward, all are found, and nobody knows yet that there are no more.
		first = list(escrow.PageRequest{Descending: true})
		equal(f.t, name+": the first page backward", backward, first.Items)
		if !first.More || first.Next == nil {
			f.t.Fatalf("%s: backward, the list ends before its beginning", name)
		}
		if second = list(escrow.PageRequest{Descending: true, After: first.Next}); len(second.Items) != 0 || second.More {
			f.t.Errorf("%s: backward, the second page is %+v", name, second)
		}
	}
}
