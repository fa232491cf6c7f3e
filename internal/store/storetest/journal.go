package storetest

import (
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

func entryCursor(e escrow.Entry) escrow.Cursor { return escrow.SequenceCursor(e.Sequence) }

// journal writes a journal with entries of every kind by two actors, at times
// that now stand still and now leap, and reads it.
func (f *fixture) journal() (escrow.InstitutionID, []escrow.Entry) {
	f.t.Helper()
	of := resource[escrow.Institution](f.do(operator(), valid(escrow.NewCreateInstitution(
		escrow.InstitutionInput{Name: "Harbour Fund", Regions: []string{"US", "SG"}}))))[0].ID
	key := resource[escrow.APIKey](f.do(of, valid(escrow.NewCreateKey(
		escrow.KeyInput{Label: "k", Role: "admin"}, escrow.HashSecret("k")))))[0].ID
	other := resource[escrow.APIKey](f.do(of, valid(escrow.NewRotateKey(
		key, escrow.RotationInput{OverlapSeconds: new(int64(3600 * 24))}, escrow.HashSecret("other")))))[0].ID
	f.do(of, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{})), escrow.RevokeKey{Key: other})
	asset := f.asset(of)
	for i := range 8 {
		f.now = f.now.Add(time.Duration(i%3) * time.Hour / 3)
		create := request(of, createPosition(asset, "holder-1"))
		create.Actor = escrow.ActorKey(key)
		f.write(of, create.Needs(), func(b *escrow.Books) {
			position := resource[escrow.Position]([]escrow.Outcome{f.executeRequest(b, create)})[0].ID
			f.execute(b, transition(position, escrow.StateFunded, ""), transition(position, escrow.StateReleased, ""))
		})
	}
	last := must(f.Positions(f.t.Context(), of, escrow.PositionFilter{}, everything())).Items[7].ID
	f.do(of, erase(last, "asked for"), escrow.RecordErasure{Erasure: escrow.Erasure{Erased: 1, Complete: true}})
	f.holding(of, asset)
	f.people(of)
	f.approvingIn(of).decideAll(asset, f.asset(of))
	template, again := must(f.Asset(f.t.Context(), of, asset)).TemplateID, new("again")
	f.do(of,
		valid(escrow.NewUpdateKey(key, again, nil)),
		valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: []string{"positions.read"}}, nil)),
		valid(escrow.NewUpdateTemplate(template, again, nil)), escrow.CloseTemplate{Template: template},
		valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: again}, nil)), escrow.CloseAsset{Asset: asset},
		valid(escrow.NewUpdateInstitution(again, nil)), escrow.CloseInstitution{},
	)
	f.write(of, escrow.AcceptHistory{}.Needs(), func(b *escrow.Books) {
		b.Head.Lost = b.Head.Sequence + 1
		f.execute(b, escrow.AcceptHistory{})
	})
	return of, must(f.Entries(f.t.Context(), of, escrow.EntryFilter{}, everything())).Items
}

func testEntryList(f *fixture) {
	f.journal() // A neighbour, whose entries must not appear.
	of, entries := f.journal()
	for i, entry := range entries {
		if entry.Sequence != int64(i+1) || entry.InstitutionID != of {
			f.t.Fatalf("entry %d is %d of %s", i, entry.Sequence, entry.InstitutionID)
		}
	}
	type restricted = restriction[escrow.EntryFilter, escrow.Entry]
	last := entries[len(entries)-1]
	period := inPeriod(func(e escrow.Entry) time.Time { return e.At }, entries[2], entries[24],
		func(filter *escrow.EntryFilter) *escrow.Period { return &filter.Period })
	kinds := []escrow.Kind{last.Kind, entries[3].Kind, escrow.KindPositionCreated}
	slices.Sort(kinds)
	kinds = slices.Compact(kinds)
	restrictions := append(
		slices.Clone(period),
		restricted{
			"kinds", func(filter *escrow.EntryFilter) { filter.Kinds = kinds },
			func(e escrow.Entry) bool { return slices.Contains(kinds, e.Kind) },
		},
		restricted{
			"ledger only", func(filter *escrow.EntryFilter) { filter.LedgerOnly = true },
			func(e escrow.Entry) bool { return slices.Contains(escrow.LedgerKinds(), e.Kind) },
		},
		restricted{
			"actor", func(filter *escrow.EntryFilter) { filter.Actor = new(escrow.ActorRoot()) },
			func(e escrow.Entry) bool { return e.Actor == escrow.ActorRoot() },
		},
		restricted{
			"up to", func(filter *escrow.EntryFilter) { filter.UpTo = 20 },
			func(e escrow.Entry) bool { return e.Sequence <= 20 },
		},
		restricted{
			"subject", func(filter *escrow.EntryFilter) { filter.Subject = last.Subject },
			func(e escrow.Entry) bool { return e.Subject == last.Subject },
		},
	)
	list := func(filter escrow.EntryFilter, page escrow.PageRequest) (escrow.Page[escrow.Entry], error) {
		return f.Entries(f.t.Context(), of, filter, page)
	}
	checkList(f.t, entries, restrictions, entryCursor, list)
	for _, kind := range escrow.Kinds() {
		ofKind := slices.DeleteFunc(slices.Clone(entries), func(e escrow.Entry) bool { return e.Kind != kind })
		if len(ofKind) == 0 {
			f.t.Errorf("the journal has no entry of the kind %s", kind)
		}
		checkList(f.t, ofKind, period, entryCursor,
			func(filter escrow.EntryFilter, page escrow.PageRequest) (escrow.Page[escrow.Entry], error) {
				filter.Kinds = []escrow.Kind{kind}
				return list(filter, page)
			})
	}
}

// Wherever a period begins and ends, it holds the entries in it to the
// microsecond.
func testEntryPeriod(f *fixture) {
	of, entries := f.journal()
	var bounds []time.Time
	for _, entry := range entries {
		bounds = append(bounds, entry.At.Add(-time.Microsecond), entry.At, entry.At.Add(time.Microsecond))
	}
	check := func(period escrow.Period) {
		f.t.Helper()
		want := slices.DeleteFunc(slices.Clone(entries), func(e escrow.Entry) bool {
			return period.From != nil && e.At.Before(*period.From) || period.To != nil && !e.At.Before(*period.To)
		})
		got := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{Period: period}, everything()))
		if len(want) != len(got.Items) {
			f.t.Errorf("from %s to %s there are %d entries, want %d", period.From, period.To, len(got.Items), len(want))
			return
		}
		for i := range want {
			if want[i].Sequence != got.Items[i].Sequence {
				f.t.Errorf("from %s to %s there is entry %d, want %d", period.From, period.To, got.Items[i].Sequence, want[i].Sequence)
			}
		}
	}
	for i, bound := range bounds {
		check(escrow.Period{From: &bound})
		check(escrow.Period{To: &bound})
		check(escrow.Period{From: &bound, To: &bounds[(i*7)%len(bounds)]})
	}
	f.moment()
	page, err := f.Entries(f.t.Context(), escrow.InstitutionID(f.uuid()), escrow.EntryFilter{
		Period: escrow.Period{From: &bounds[0], To: &bounds[1]},
	}, everything())
	if err != nil || len(page.Items) != 0 {
		f.t.Errorf("an institution that does not exist has the entries %+v, %v", page.Items, err)
	}
}

func testKeyByHash(f *fixture) {
	one, other := f.institution(), f.institution()
	ours, theirs := f.samples(one), f.samples(other)
	ours.institutions, theirs.institutions = nil, nil
	f.writeSamples(one, ours)
	f.writeSamples(other, theirs)
	for _, want := range append(ours.keys, theirs.keys...) {
		got, found, err := found(f.KeyByHash(f.t.Context(), want.Hash))
		f.compare("key by its hash", want, got, found, err)
	}
	if key, found, err := found(f.KeyByHash(f.t.Context(), escrow.HashSecret("unknown"))); found || err != nil {
		f.t.Errorf("an unknown hash finds %+v, %v", key, err)
	}
}

// steps writes a position with a long life and returns it as it must be read.
func (f *fixture) steps(of escrow.InstitutionID, asset escrow.AssetID) escrow.Position {
	f.t.Helper()
	id := f.position(of, asset)
	f.do(of, transition(id, escrow.StateFunded, ""))
	outcomes := f.do(of,
		transition(id, escrow.StatePartiallyReleased, "0.01", []byte(`{"certificate":"«7»"}`)...),
		transition(id, escrow.StatePartiallyReleased, "999.98"), transition(id, escrow.StateCancelled, ""))
	answered := resource[escrow.Position](outcomes)
	position := must(f.WithEvents(f.t.Context(), must(f.Position(f.t.Context(), of, id))))
	for i, a := range answered {
		if len(a.Events) != 1 || len(position.Events) != 5 {
			f.t.Fatalf("step %d of %+v is answered with the events %+v", i, position, a.Events)
		}
		equal(f.t, "event of a step", position.Events[i+2], a.Events[0])
	}
	if position.Version != 5 || position.Refunded != 1 {
		f.t.Fatalf("the position is %+v, want five events and a cent refunded", position)
	}
	return position
}

func testPositionEvents(f *fixture) {
	ctx := f.t.Context()
	of, other := f.institution(), f.institution()
	asset := f.asset(of)
	var want []escrow.Position
	for range 3 {
		want = append(want, f.steps(of, asset))
	}
	f.steps(other, f.asset(other))

	page, err := f.Positions(ctx, of, escrow.PositionFilter{WithEvents: true}, everything())
	f.compare("list with events", want, page.Items, !page.More, err)
	tx := f.begin(needs{
		of:    {Positions: []escrow.PositionID{want[0].ID, want[2].ID}},
		other: {Positions: []escrow.PositionID{want[0].ID}},
	})
	defer tx.Rollback(ctx)
	if position, found := tx.Books(other).Positions.Get(want[0].ID); found {
		f.t.Errorf("the books of another institution hold the position: %+v", position)
	}
	for i, position := range want {
		got, found, err := found(f.Position(ctx, of, position.ID))
		row := position
		row.Events = nil
		f.compare("position", row, got, found, err)
		got, err = f.WithEvents(ctx, got)
		f.compare("position with its events", position, got, found, err)
		got, found = tx.Books(of).Positions.Get(position.ID)
		if i == 1 {
			if found {
				f.t.Errorf("the books hold a position that was not asked for: %+v", got)
			}
			continue
		}
		f.compare("position in the books", row, got, found, nil)
	}
	if got, found, err := found(f.Position(ctx, other, want[0].ID)); found || err != nil {
		f.t.Errorf("another institution reads the position: %+v, %v", got, err)
	}
	page, err = f.Positions(ctx, of, escrow.PositionFilter{}, everything())
	for i := range want {
		want[i].Events = nil
	}
	f.compare("list without events", want, page.Items, !page.More, err)
}

// A page ends early where its events would be too much to hold, and the next one
// goes on after it.
func testEventsBound(f *fixture) {
	if f.Name() != "postgres" {
		return // The bound is kept in code that all databases share, and is costly to reach.
	}
	of := f.institution()
	asset := f.asset(of)
	var want []escrow.PositionID
	for range 20 { // of nearly 1 MiB each, more than two pages hold
		id := f.position(of, asset)
		release := transition(id, escrow.StatePartiallyReleased, "1", metadata()[4]...)
		commands := []escrow.Command{transition(id, escrow.StateFunded, "")}
		f.do(of, append(commands, slices.Repeat([]escrow.Command{release}, 15)...)...)
		want = append(want, id)
	}

	var listed []escrow.PositionID
	page := escrow.PageRequest{Limit: escrow.MaxPageWithEvents}
	for more := true; more; {
		got, err := f.Positions(f.t.Context(), of, escrow.PositionFilter{WithEvents: true}, page)
		if err != nil || len(got.Items) == 0 || len(listed) == 0 && !got.More {
			f.t.Fatalf("after %d positions a page has %d, and more is %t, %v", len(listed), len(got.Items), got.More, err)
		}
		for _, p := range got.Items {
			if int64(len(p.Events)) != p.Version {
				f.t.Errorf("the position %s in version %d has %d events", p.ID, p.Version, len(p.Events))
			}
			listed = append(listed, p.ID)
		}
		more, page.After = got.More, new(escrow.IDCursor(listed[len(listed)-1]))
	}
	equal(f.t, "positions of all pages", want, listed)
}

// A reader never sees a state with more or fewer steps than lead to it.
func testPositionWhileItChanges(f *fixture) {
	ctx := f.t.Context()
	of := f.institution()
	id := f.position(of, f.asset(of))
	f.do(of, transition(id, escrow.StateFunded, ""))
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range 50 {
			tx, err := f.Begin(ctx, needs{of: {Positions: []escrow.PositionID{id}}})
			if err != nil {
				f.t.Errorf("begin: %v", err)
				return
			}
			books := tx.Books(of)
			_, executeErr := books.Execute(request(of, transition(id, escrow.StatePartiallyReleased, "1")), escrow.Stamp{
				Now: f.now, Random: [2]uint64{1, 2}, Secret: escrow.Secret{1},
			})
			if err := tx.Commit(ctx); err != nil || executeErr != nil {
				f.t.Errorf("step: %v, %v", executeErr, err)
				return
			}
		}
	}()
	check := func(p escrow.Position) {
		f.t.Helper()
		released := money.Amount(0)
		for _, event := range p.Events {
			if event.To == escrow.StatePartiallyReleased {
				released += event.Amount
			}
		}
		if int64(len(p.Events)) != p.Version || released != p.Released {
			f.t.Errorf("version %d with %d released has %d events that release %d", p.Version, p.Released, len(p.Events), released)
		}
	}
	for done := false; !done && !f.t.Failed(); {
		select {
		case <-written:
			done = true
		default:
		}
		position, err := f.Position(ctx, of, id)
		if err == nil {
			position, err = f.WithEvents(ctx, position)
		}
		if err != nil {
			f.t.Errorf("read: %v", err)
		}
		check(position)
		for _, position := range must(f.Positions(ctx, of, escrow.PositionFilter{WithEvents: true}, everything())).Items {
			check(position)
		}
	}
	<-written
	if position, _, err := found(f.Position(ctx, of, id)); position.Version != 52 || err != nil {
		f.t.Errorf("the position has version %d, %v; want 52", position.Version, err)
	}
}
