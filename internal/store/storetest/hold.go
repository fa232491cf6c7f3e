package storetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// underHolds puts a position under holds, as far as it holds money, different for each of some numbers.
func underHolds(p escrow.Position, i int) escrow.Position {
	p.Holds, p.WholeHolds, p.HeldBack = 0, 0, 0
	switch i % 4 {
	case 1:
		p.Holds, p.WholeHolds = 3, 3
	case 2:
		if p.Held > 0 {
			p.Holds, p.WholeHolds, p.HeldBack = 5, 2, p.Held
		}
	case 3:
		if p.Held > 0 {
			p.Holds, p.HeldBack = math.MaxInt64, 1
		}
	}
	return p
}

// holdState gives a hold what changes of it.
func holdState(h escrow.Hold, i int) escrow.Hold {
	h.Lifted, h.LiftedAt = 0, nil
	if i%2 == 1 {
		h.Lifted, h.LiftedAt = pick([]int64{h.Placed + 1, math.MaxInt64}, i/2), new(pick(moments(), i))
	}
	return h
}

func (f *fixture) addHolds(of escrow.InstitutionID, s *samples) {
	for i := range 12 {
		f.moment()
		s.holds = append(s.holds, holdState(escrow.Hold{
			ID: f.uuid(), InstitutionID: of, PositionID: pick(s.positions, i/3).ID, Kind: pick(escrow.HoldKinds(), i),
			Amount:   pick([]money.Money{{}, {Amount: math.MaxInt64, Currency: currencies()[2]}, {Amount: 1, Currency: currencies()[1]}}, i),
			ReviewAt: optional(moments(), i), Placed: pick([]int64{1, math.MaxInt64 - 1, 7}, i), CreatedAt: pick(moments(), i+1),
		}, i))
	}
}

func putHolds(b *escrow.Books, s samples) {
	for _, hold := range s.holds {
		b.Holds.Put(hold.ID, hold)
	}
}

// checkHolds looks at holds whose entries there are not, so that they have no steps.
func (f *fixture) checkHolds(of escrow.InstitutionID, s samples, books *escrow.Books) {
	f.t.Helper()
	ctx := f.t.Context()
	listed, err := f.Holds(ctx, of, escrow.HoldFilter{}, everything())
	f.compare("list of holds", s.holds, listed.Items, true, err)
	for _, want := range s.holds {
		got, ok := books.Holds.Get(want.ID)
		f.compare("hold in the books", want, got, ok, nil)
		got, ok, err := found(f.Hold(ctx, of, want.ID))
		f.compare("hold", want, got, ok, err)
		rows, err := f.HoldRows(ctx, of, want.PositionID)
		at := slices.IndexFunc(rows, func(row store.Row) bool { return row.Subject == want.ID.String() })
		if at < 0 || err != nil {
			f.t.Fatalf("there is no row of %s, %v", want.ID, err)
		}
		equal(f.t, "row of a hold", store.HoldRow(want), rows[at])
	}
	on := make(map[escrow.PositionID]bool)
	var inForce []escrow.Hold
	for _, hold := range s.holds {
		if on[hold.PositionID] = true; hold.InForce() {
			inForce = append(inForce, hold)
		}
	}
	var ids []escrow.PositionID
	for id := range on {
		ids = append(ids, id)
	}
	got, err := f.HoldsOn(ctx, of, append(ids, escrow.PositionID{15: 9}))
	slices.SortFunc(got, func(a, b escrow.Hold) int { return a.ID.Compare(b.ID) })
	f.compare("holds in force", inForce, got, true, err)
	asked := f.load(of, escrow.Needs{HoldsOn: ids})
	for _, hold := range s.holds {
		if got, ok := asked.Holds.Get(hold.ID); ok != hold.InForce() {
			f.t.Errorf("the books with the holds in force have %+v: %t", got, ok)
		} else if ok {
			equal(f.t, "hold in force in the books", hold, got)
		}
	}
}

// changedHolds returns the samples with other values in the columns that can change.
func (s samples) changedHolds() samples {
	s.holds = slices.Clone(s.holds)
	for i := range s.holds {
		s.holds[i] = holdState(s.holds[i], i+1)
	}
	return s
}

// holdsOf returns the samples as another institution's.
func (s samples) holdsOf(institution escrow.InstitutionID) samples {
	s.holds = slices.Clone(s.holds)
	for i := range s.holds {
		s.holds[i].InstitutionID = institution
	}
	return s
}

func testHoldLists(f *fixture) {
	of, other := f.institution(), f.institution()
	positions := []escrow.PositionID{{15: 1}, {15: 2}}
	var s samples
	for i := range 23 {
		at := f.moment()
		s.holds = append(s.holds, holdState(escrow.Hold{
			ID: f.uuid(), InstitutionID: of, PositionID: pick(positions, i/2), Kind: pick(escrow.HoldKinds(), i/3), Placed: 1 << 40,
			ReviewAt: optional([]time.Time{moments()[1], moments()[3]}, i), CreatedAt: at,
		}, i))
	}
	f.write(of, escrow.Needs{}, func(b *escrow.Books) { putHolds(b, s) })
	f.write(other, escrow.Needs{}, func(b *escrow.Books) { putHolds(b, s.holdsOf(other)) })

	type restricted = restriction[escrow.HoldFilter, escrow.Hold]
	at := func(h escrow.Hold) time.Time { return h.CreatedAt }
	before := moments()[3]
	list := func(filter escrow.HoldFilter, page escrow.PageRequest) (escrow.Page[escrow.Hold], error) {
		return f.Holds(f.t.Context(), of, filter, page)
	}
	checkList(f.t, s.holds, append(
		inPeriod(at, s.holds[5], s.holds[19], func(filter *escrow.HoldFilter) *escrow.Period { return &filter.Period }),
		restricted{"position", func(filter *escrow.HoldFilter) { filter.Position = &positions[0] }, func(h escrow.Hold) bool { return h.PositionID == positions[0] }},
		restricted{"kinds", func(filter *escrow.HoldFilter) { filter.Kinds = []escrow.HoldKind{escrow.HoldLegal} }, func(h escrow.Hold) bool { return h.Kind == escrow.HoldLegal }},
		restricted{"lifted", func(filter *escrow.HoldFilter) { filter.Status = escrow.HoldLifted }, func(h escrow.Hold) bool { return !h.InForce() }},
		restricted{"review", func(filter *escrow.HoldFilter) { filter.ReviewBefore = &before }, func(h escrow.Hold) bool { return h.ReviewAt != nil && h.ReviewAt.Before(before) }},
	), func(h escrow.Hold) escrow.Cursor { return escrow.IDCursor(h.ID) }, list)
	inForce := must(list(escrow.HoldFilter{Status: escrow.HoldInForce}, everything())).Items
	equal(f.t, "holds in force", slices.DeleteFunc(slices.Clone(s.holds), func(h escrow.Hold) bool { return !h.InForce() }), inForce)
}

// holding makes a position that holds nothing, places a hold on it and lifts that, and cancels it.
func (f *fixture) holding(of escrow.InstitutionID, asset escrow.AssetID) {
	f.t.Helper()
	id := resource[escrow.Position](f.do(of, createPosition(asset, "holder-1")))[0].ID
	hold := resource[escrow.Hold](f.do(of, valid(escrow.NewPlaceHold(id, escrow.HoldInput{Kind: "COMPLIANCE", Reason: "r"}, nil))))[0]
	f.do(of, valid(escrow.NewLiftHold(id, hold.ID, "r")), transition(id, escrow.StateCancelled, ""))
}

// Holds come with what their entries say, until that is erased.
func testHoldSteps(f *fixture) {
	of := f.institution()
	id := f.withPrivate(of, f.asset(of))
	place := valid(escrow.NewPlaceHold(id, escrow.HoldInput{Kind: "LEGAL", Amount: new(money.Digits("7")), Reason: "an order", Reference: new("HC-1")}, nil))
	placed := resource[escrow.Hold](f.do(of, place))[0]
	equal(f.t, "the hold that was placed", placed, must(f.Hold(f.t.Context(), of, placed.ID)))
	lifted := resource[escrow.Hold](f.do(of, valid(escrow.NewLiftHold(id, placed.ID, "it is over"))))[0]
	want := lifted
	want.Steps = append(slices.Clone(placed.Steps), lifted.Steps...)
	equal(f.t, "the hold that was lifted", want, must(f.Hold(f.t.Context(), of, placed.ID)))

	f.do(of, transition(id, escrow.StateReleased, ""), erase(id, "asked for"))
	for i := range want.Steps {
		want.Steps[i].Reason, want.Steps[i].Reference, want.Steps[i].Erased = "", "", true
	}
	equal(f.t, "the hold of a position that was erased", want, must(f.Hold(f.t.Context(), of, placed.ID)))
	if count, err := f.CountHolds(f.t.Context(), of, placed.Placed); count != 1 || err != nil {
		f.t.Errorf("there are %d holds, %v", count, err)
	}
	if count, err := f.CountHolds(f.t.Context(), of, placed.Placed-1); count != 0 || err != nil {
		f.t.Errorf("before it was placed there are %d holds, %v", count, err)
	}
}

func testHoldsEndWithTheirContext(f *fixture) {
	of := f.institution()
	s := f.samples(of)
	f.writeSamples(of, s)
	ended, end := context.WithCancel(f.t.Context())
	end()
	_, oneErr := f.Hold(ended, of, s.holds[0].ID)
	_, listErr := f.Holds(ended, of, escrow.HoldFilter{}, everything())
	_, onErr := f.HoldsOn(ended, of, []escrow.PositionID{s.holds[0].PositionID})
	stepsErr := f.AddHoldSteps(ended, of, s.holds)
	for name, err := range map[string]error{"Hold": oneErr, "Holds": listErr, "HoldsOn": onErr, "AddHoldSteps": stepsErr} {
		if !errors.Is(err, store.ErrUnavailable) {
			f.t.Errorf("%s with a context that has ended says %v, want %v", name, err, store.ErrUnavailable)
		}
	}
}
