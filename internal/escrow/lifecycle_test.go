package escrow_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The lifecycle as it is documented: each state, and the states that follow it.
func TestStatesFollowTheDocumentedLifecycle(t *testing.T) {
	t.Parallel()
	want := map[escrow.State]string{
		"CREATED":            "FUNDED CANCELLED EXPIRED",
		"FUNDED":             "PARTIALLY_RELEASED RELEASED CANCELLED EXPIRED",
		"PARTIALLY_RELEASED": "PARTIALLY_RELEASED RELEASED CANCELLED EXPIRED",
		"RELEASED":           "",
		"CANCELLED":          "",
		"EXPIRED":            "",
	}
	got := make(map[escrow.State]string)
	for _, state := range escrow.States() {
		got[state] = strings.Trim(fmt.Sprint(state.Next()), "[]")
		if state.Final() != (want[state] == "") {
			t.Errorf("%s is final: %t", state, state.Final())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("next states wanted (-) and given (+):\n%s", diff)
	}
	if next := escrow.State("LOST").Next(); next != nil {
		t.Errorf("an unknown state leads to %v", next)
	}
}

// in leads a new position of 100.00 USD to a state.
func (d *desk) in(state escrow.State) escrow.PositionID {
	d.t.Helper()
	id := d.position(d.escrow(), "100", "USD")
	if state == escrow.StateCreated {
		return id
	}
	if state != escrow.StateCancelled && state != escrow.StateExpired {
		d.accept(transition(id, escrow.StateFunded, ""))
	}
	switch state {
	case escrow.StateCreated, escrow.StateFunded:
	case escrow.StatePartiallyReleased:
		d.accept(transition(id, state, "30"))
	case escrow.StateReleased, escrow.StateCancelled, escrow.StateExpired:
		d.accept(transition(id, state, ""))
	}
	return id
}

// Every state with every other: what moves where, or the refusal that names both
// states and the allowed ones.
func TestOpenStatesAreThoseThatAPositionLeaves(t *testing.T) {
	t.Parallel()
	want := []escrow.State{"CREATED", "FUNDED", "PARTIALLY_RELEASED"}
	if diff := cmp.Diff(want, escrow.OpenStates()); diff != "" {
		t.Errorf("states wanted (-) and given (+):\n%s", diff)
	}
}

func TestTransitionsMoveMoneyAsDocumented(t *testing.T) {
	t.Parallel()
	type sums struct{ Funded, Released, Refunded, Held money.Amount }
	const (
		fromCreated = "it can become FUNDED, CANCELLED, EXPIRED."
		fromFunded  = "it can become PARTIALLY_RELEASED, RELEASED, CANCELLED, EXPIRED."
		final       = "the state is final."
	)
	for _, test := range []struct {
		from, to string
		want     sums
		refusal  string
	}{
		{"CREATED", "CREATED", sums{}, fromCreated},
		{"CREATED", "FUNDED", sums{100_00, 0, 0, 100_00}, ""},
		{"CREATED", "PARTIALLY_RELEASED", sums{}, fromCreated},
		{"CREATED", "RELEASED", sums{}, fromCreated},
		{"CREATED", "CANCELLED", sums{}, ""},
		{"CREATED", "EXPIRED", sums{}, ""},

		{"FUNDED", "CREATED", sums{}, fromFunded},
		{"FUNDED", "FUNDED", sums{}, fromFunded},
		{"FUNDED", "PARTIALLY_RELEASED", sums{100_00, 10_00, 0, 90_00}, ""},
		{"FUNDED", "RELEASED", sums{100_00, 100_00, 0, 0}, ""},
		{"FUNDED", "CANCELLED", sums{100_00, 0, 100_00, 0}, ""},
		{"FUNDED", "EXPIRED", sums{100_00, 0, 100_00, 0}, ""},

		{"PARTIALLY_RELEASED", "CREATED", sums{}, fromFunded},
		{"PARTIALLY_RELEASED", "FUNDED", sums{}, fromFunded},
		{"PARTIALLY_RELEASED", "PARTIALLY_RELEASED", sums{100_00, 40_00, 0, 60_00}, ""},
		{"PARTIALLY_RELEASED", "RELEASED", sums{100_00, 100_00, 0, 0}, ""},
		{"PARTIALLY_RELEASED", "CANCELLED", sums{100_00, 30_00, 70_00, 0}, ""},
		{"PARTIALLY_RELEASED", "EXPIRED", sums{100_00, 30_00, 70_00, 0}, ""},

		{"RELEASED", "CREATED", sums{}, final},
		{"RELEASED", "FUNDED", sums{}, final},
		{"RELEASED", "PARTIALLY_RELEASED", sums{}, final},
		{"RELEASED", "RELEASED", sums{}, final},
		{"RELEASED", "CANCELLED", sums{}, final},
		{"RELEASED", "EXPIRED", sums{}, final},

		{"CANCELLED", "CREATED", sums{}, final},
		{"CANCELLED", "FUNDED", sums{}, final},
		{"CANCELLED", "PARTIALLY_RELEASED", sums{}, final},
		{"CANCELLED", "RELEASED", sums{}, final},
		{"CANCELLED", "CANCELLED", sums{}, final},
		{"CANCELLED", "EXPIRED", sums{}, final},

		{"EXPIRED", "CREATED", sums{}, final},
		{"EXPIRED", "FUNDED", sums{}, final},
		{"EXPIRED", "PARTIALLY_RELEASED", sums{}, final},
		{"EXPIRED", "RELEASED", sums{}, final},
		{"EXPIRED", "CANCELLED", sums{}, final},
		{"EXPIRED", "EXPIRED", sums{}, final},
	} {
		t.Run(test.from+" to "+test.to, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			id := d.in(escrow.State(test.from))
			var amount string
			if test.to == "PARTIALLY_RELEASED" {
				amount = "10"
			}
			command := transition(id, escrow.State(test.to), amount)
			if test.refusal != "" {
				refusal := d.refusal(command, escrow.CodeInvalidTransition)
				if want := "A position that is " + test.from + " cannot become " + test.to + "; " + test.refusal; refusal.Detail != want {
					t.Errorf("the refusal is %q, want %q", refusal.Detail, want)
				}
				return
			}
			before := d.get(id)
			d.accept(command)
			got := d.get(id)
			if diff := cmp.Diff(test.want, sums{got.Funded, got.Released, got.Refunded, got.Held}); diff != "" {
				t.Errorf("money wanted (-) and kept (+):\n%s", diff)
			}
			if got.State != escrow.State(test.to) || got.Version != before.Version+1 || got.UpdatedAt != d.lastEntry().At {
				t.Errorf("the position is %+v", got)
			}
		})
	}
}

func TestTransitionTellsItsStep(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateFunded)
	before := d.history(id)
	key := d.key(escrow.RoleAdmin, nil)
	d.actor = escrow.ActorKey(key)
	outcome := d.accept(valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("30.5")), Reason: new("Milestone 1"),
		Metadata: escrow.Metadata(`{"invoice": 7}`),
	}, nil)))
	entry := d.lastEntry()
	want := escrow.PositionEvent{
		ID: entry.ID, Sequence: outcome.Sequence, Actor: d.actor, At: entry.At, From: "FUNDED", To: "PARTIALLY_RELEASED",
		Currency: usd, Amount: 30_50, Reason: "Milestone 1", Metadata: escrow.Metadata(`{"invoice":7}`),
	}
	if diff := cmp.Diff(append(before, want), d.history(id), exactly()); diff != "" {
		t.Errorf("events wanted (-) and kept (+):\n%s", diff)
	}
	if len(before) != 2 {
		t.Errorf("before the transition there are %d events", len(before))
	}
}

// A command is answered with its own event, however many there are, and the books keep
// none. The repetition of the request is answered with the same, from the entries.
func TestATransitionIsAnsweredWithItsOwnEvent(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateFunded)
	for i := range 5 {
		outcome := d.accept(valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{
			ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("1")), Reason: new(fmt.Sprintf("Milestone %d", i)),
		}, nil)))
		answered, _ := outcome.Resource.(escrow.Position)
		if len(answered.Events) != 1 || answered.Events[0].Reason != fmt.Sprintf("Milestone %d", i) || answered.Version != int64(i+3) {
			t.Errorf("the answer to transition %d is %+v", i, answered)
		}
		if kept := d.get(id); kept.Events != nil {
			t.Errorf("the books keep the events %+v", kept.Events)
		}

		var history []escrow.Entry
		for _, entry := range d.books.Entries {
			if entry.Subject == outcome.Subject {
				history = append(history, must(escrow.ParseEntry(entry.Body, entry.Private)))
			}
		}
		if diff := cmp.Diff(outcome.Resource, must(escrow.ResourceOf(history)), exactly()); diff != "" {
			t.Errorf("the answer (-) and its repetition (+) differ:\n%s", diff)
		}
	}
}

// A position is loaded without its history, and a step is decided and answered as with it.
func TestAStepDecidesWithoutHistory(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	position := d.get(d.in(escrow.StateFunded))
	answer := func(to escrow.State) escrow.Position {
		batch := newDesk(t, d.books.InstitutionID())
		batch.books.Positions.Load(position.ID, position)
		answered, _ := batch.accept(transition(position.ID, to, "")).Resource.(escrow.Position)
		return answered
	}
	rolledBack, next := answer(escrow.StateReleased), answer(escrow.StateCancelled)
	if rolledBack.Events[0].To != escrow.StateReleased || next.Events[0].To != escrow.StateCancelled ||
		rolledBack.Version != 3 || next.Version != 3 {
		t.Errorf("the answers are %+v and %+v", rolledBack, next)
	}
}

// The metadata and reasons of all events are bounded together. What ends a position can
// always be told why.
func TestAPositionsHistoryIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	large := escrow.Metadata(`{"note":"` + strings.Repeat("x", escrow.MaxMetadataSize-100) + `"}`)
	step := func(to escrow.State, reason string, metadata escrow.Metadata) escrow.TransitionPosition {
		in := escrow.TransitionInput{ToState: string(to), Metadata: metadata}
		if to == escrow.StatePartiallyReleased {
			in.Amount = new(money.Digits("1"))
		}
		if reason != "" {
			in.Reason = &reason
		}
		return valid(escrow.NewTransitionPosition(d.books.Positions.Created()[0].ID, in, nil))
	}
	id := subjectID[escrow.PositionID](d.accept(valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: d.escrow().String(), HolderReference: "h", Currency: "USD", Amount: "1000", Metadata: large,
	}))))
	d.accept(step(escrow.StateFunded, "", large))
	for range 14 {
		d.accept(step(escrow.StatePartiallyReleased, "", large))
	}
	if got := d.get(id).HistoryBytes; got != 16*int64(len(large)) {
		t.Errorf("the history has %d bytes, want %d", got, 16*len(large))
	}

	d.refuse(step(escrow.StatePartiallyReleased, "", large), escrow.CodePositionHistoryLimit)
	room := escrow.MaxHistoryBytes - 16*len(large)
	for room > 0 {
		reason := strings.Repeat("é", min(room/2, escrow.MaxReasonLength))
		d.accept(step(escrow.StatePartiallyReleased, reason, nil))
		room -= len(reason)
	}
	refusal := d.refusal(step(escrow.StatePartiallyReleased, "x", nil), escrow.CodePositionHistoryLimit)
	if want := "The metadata and reasons of the position's events would have 1048577 bytes together, of at most 1048576; " +
		"leave them out, or go to RELEASED, CANCELLED, EXPIRED."; refusal.Detail != want {
		t.Errorf("the refusal is %q, want %q", refusal.Detail, want)
	}
	d.accept(step(escrow.StatePartiallyReleased, "", nil))
	d.accept(step(escrow.StateReleased, "the end", large))
}

func TestNewTransitionPositionTellsEveryFault(t *testing.T) {
	t.Parallel()
	const (
		states   = "toState must be one of CREATED, FUNDED, PARTIALLY_RELEASED, RELEASED, CANCELLED, EXPIRED"
		noNumber = "amount must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
	)
	for _, test := range []struct {
		name  string
		input escrow.TransitionInput
		want  []string
	}{
		{"nothing", escrow.TransitionInput{}, []string{states}},
		{
			"everything wrong",
			escrow.TransitionInput{
				ToState: "funded", Amount: new(money.Digits("-1")), Reason: new(""), Metadata: escrow.Metadata(`[]`),
			},
			[]string{
				"reason must not be empty: leave it out instead", "metadata must be a JSON object", states, noNumber,
			},
		},
		{
			"a partial release of nothing",
			escrow.TransitionInput{ToState: "PARTIALLY_RELEASED"},
			[]string{"amount is required to go to PARTIALLY_RELEASED"},
		},
		{
			"an empty amount",
			escrow.TransitionInput{ToState: "RELEASED", Amount: new(money.Digits)},
			[]string{noNumber},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewTransitionPosition(escrow.PositionID{}, test.input, nil)
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestAnAmountThatIsGivenMustBeWhatMoves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to, amount string
		want             escrow.Code
	}{
		{"CREATED", "FUNDED", "100", ""},
		{"CREATED", "FUNDED", "99.99", escrow.CodeTransitionAmount},
		{"CREATED", "FUNDED", "100.01", escrow.CodeTransitionAmount},
		{"CREATED", "CANCELLED", "100", escrow.CodeTransitionAmount},
		{"CREATED", "EXPIRED", "0.01", escrow.CodeTransitionAmount},
		{"CREATED", "CANCELLED", "0", escrow.CodeInvalidInput},
		{"FUNDED", "RELEASED", "100.00", ""},
		{"FUNDED", "RELEASED", "99", escrow.CodeTransitionAmount},
		{"FUNDED", "CANCELLED", "100", ""},
		{"FUNDED", "EXPIRED", "1", escrow.CodeTransitionAmount},
		{"PARTIALLY_RELEASED", "RELEASED", "70", ""},
		{"PARTIALLY_RELEASED", "RELEASED", "100", escrow.CodeTransitionAmount},
		{"PARTIALLY_RELEASED", "CANCELLED", "70.00", ""},
		{"PARTIALLY_RELEASED", "CANCELLED", "30", escrow.CodeTransitionAmount},
		{"FUNDED", "PARTIALLY_RELEASED", "0.01", ""},
		{"FUNDED", "PARTIALLY_RELEASED", "99.99", ""},
		{"FUNDED", "PARTIALLY_RELEASED", "100", escrow.CodeTransitionAmount},
		{"FUNDED", "PARTIALLY_RELEASED", "1000000000000000", escrow.CodeTransitionAmount},
		{"FUNDED", "PARTIALLY_RELEASED", "0", escrow.CodeInvalidInput},
		{"FUNDED", "PARTIALLY_RELEASED", "0.001", escrow.CodeInvalidInput},
		{"FUNDED", "PARTIALLY_RELEASED", "1000000000000001", escrow.CodeInvalidInput},
		{"PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "69.99", ""},
		{"PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "70", escrow.CodeTransitionAmount},
	} {
		t.Run(test.from+" to "+test.to+" with "+test.amount, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			command := transition(d.in(escrow.State(test.from)), escrow.State(test.to), test.amount)
			if test.want == "" {
				d.accept(command)
			} else {
				d.refuse(command, test.want)
			}
		})
	}
}

func TestRetainageStaysHeldUntilReleased(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":10}`))
	id := d.position(asset, "100", "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	d.accept(transition(id, escrow.StatePartiallyReleased, "60"))
	refusal := d.refusal(transition(id, escrow.StatePartiallyReleased, "30.01"), escrow.CodeTemplateRetainage)
	if want := "Of the 40.00 USD that are held, 10.00 stay retained until RELEASED."; refusal.Detail != want {
		t.Errorf("the refusal is %q, want %q", refusal.Detail, want)
	}
	d.accept(transition(id, escrow.StatePartiallyReleased, "30"))
	d.refuse(transition(id, escrow.StatePartiallyReleased, "0.01"), escrow.CodeTemplateRetainage)
	d.accept(transition(id, escrow.StateReleased, "10"))
}

func TestRetainageOfTheWholeAllowsNoPartialRelease(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":100}`))
	id := d.position(asset, "100", "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	d.refuse(transition(id, escrow.StatePartiallyReleased, "0.01"), escrow.CodeTemplateRetainage)
	d.accept(transition(id, escrow.StateReleased, ""))
}

func TestAnExpiredPositionCanOnlyBecomeExpiredOrCancelled(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		to      escrow.State
		amount  string
		allowed bool
	}{
		{escrow.StatePartiallyReleased, "1", false},
		{escrow.StateReleased, "", false},
		{escrow.StateCancelled, "", true},
		{escrow.StateExpired, "", true},
	} {
		t.Run(string(test.to), func(t *testing.T) {
			t.Parallel()
			for _, late := range []time.Duration{-time.Microsecond, 0, time.Hour} {
				d := openDesk(t)
				expiresAt := opening().Add(time.Hour)
				id := subjectID[escrow.PositionID](d.accept(newPosition(d.escrow(), "100", "USD", &expiresAt)))
				d.accept(transition(id, escrow.StateFunded, ""))
				d.now = expiresAt.Add(late)
				if late < 0 || test.allowed {
					d.accept(transition(id, test.to, test.amount))
					continue
				}
				refusal := d.refusal(transition(id, test.to, test.amount), escrow.CodePositionExpired)
				if want := "The position expired at 2027-03-01T10:00:00.000000Z; it can only become EXPIRED or CANCELLED."; refusal.Detail != want {
					t.Errorf("the refusal is %q, want %q", refusal.Detail, want)
				}
			}
		})
	}
	t.Run("FUNDED", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t)
		id := subjectID[escrow.PositionID](d.accept(newPosition(d.escrow(), "100", "USD", new(opening().Add(time.Hour)))))
		d.now = opening().Add(time.Hour)
		d.refuse(transition(id, escrow.StateFunded, ""), escrow.CodePositionExpired)
	})
}

func TestTheSystemExpiresAPositionThatIsDue(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	expiresAt := opening().Add(time.Hour)
	id := subjectID[escrow.PositionID](d.accept(newPosition(d.escrow(), "100", "USD", &expiresAt)))
	d.accept(transition(id, escrow.StateFunded, ""))
	never := d.position(d.escrow(), "100", "USD")
	d.actor = escrow.ActorSystem()
	d.now = expiresAt.Add(-time.Microsecond)
	d.refuse(escrow.ExpirePosition(id), escrow.CodeInvalidTransition)
	d.now = expiresAt
	d.accept(escrow.ExpirePosition(id))
	got := d.get(id)
	history := d.history(id)
	step := history[len(history)-1]
	if got.State != escrow.StateExpired || got.Refunded != 100_00 || step.Reason != "expiresAt has passed" || step.Actor != d.actor {
		t.Errorf("the position is %+v", got)
	}
	d.refuse(escrow.ExpirePosition(id), escrow.CodeInvalidTransition)
	d.refuse(escrow.ExpirePosition(never), escrow.CodeInvalidTransition)
	d.refuse(escrow.ExpirePosition(escrow.PositionID{1}), escrow.CodePositionNotFound)
}

func TestATransitionCanDependOnTheVersion(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateFunded) // version 2
	d.refuse(transition(id, escrow.StateReleased, "", 1), escrow.CodeVersionMismatch)
	d.refuse(transition(id, escrow.StateReleased, "", 1, 3), escrow.CodeVersionMismatch)
	none := valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{ToState: "RELEASED"}, []int64{}))
	d.refuse(none, escrow.CodeVersionMismatch)
	d.accept(transition(id, escrow.StatePartiallyReleased, "1", 1, 2))
	d.accept(transition(id, escrow.StateReleased, "", 3))
}

// One request breaks every rule, in its turn each rule is met, and the next one
// refuses: position, version, state, expiry, events, amount, retainage, holds.
func TestTransitionRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":50}`))
	expiresAt := opening().Add(time.Hour)
	fund := func() escrow.PositionID {
		id := subjectID[escrow.PositionID](d.accept(newPosition(asset, "2000", "USD", &expiresAt)))
		d.accept(transition(id, escrow.StateFunded, ""))
		return id
	}
	unknown, young, wordy, full := escrow.PositionID{1}, fund(), fund(), fund()
	for d.get(full).Version < escrow.MaxPositionEvents {
		d.accept(transition(full, escrow.StatePartiallyReleased, "1"))
	}
	for _, id := range []escrow.PositionID{wordy, full} {
		p := d.get(id)
		p.HistoryBytes = escrow.MaxHistoryBytes + 1
		d.books.Positions.Load(id, p)
	}
	held := d.held(young, escrow.HoldCompliance, "1500")
	const partial = escrow.StatePartiallyReleased
	var met []escrow.Code
	for _, step := range []struct {
		now     time.Time
		command escrow.Command
		want    escrow.Code
	}{
		{expiresAt, transition(unknown, escrow.StateFunded, "0.001", 1), escrow.CodePositionNotFound},
		{expiresAt, transition(full, escrow.StateFunded, "0.001", 1), escrow.CodeVersionMismatch},
		{expiresAt, transition(full, escrow.StateFunded, "0.001"), escrow.CodeInvalidTransition},
		{expiresAt, transition(full, partial, "0.001"), escrow.CodePositionExpired},
		{opening(), transition(full, partial, "0.001"), escrow.CodePositionEventLimit},
		{opening(), transition(wordy, partial, "0.001"), escrow.CodePositionHistoryLimit},
		{opening(), transition(young, partial, "0.001"), escrow.CodeInvalidInput},
		{opening(), transition(young, partial, "2000"), escrow.CodeTransitionAmount},
		{opening(), transition(young, partial, "1999"), escrow.CodeTemplateRetainage},
		{opening(), transition(young, partial, "1000"), escrow.CodePositionOnHold},
	} {
		d.now = step.now
		_ = d.refusal(step.command, step.want)
		met = append(met, step.want)
	}
	d.accept(lift(young, held))
	d.accept(transition(young, partial, "1000"))

	// The API's description lists them so; any command can be refused for its input.
	met = slices.DeleteFunc(met[1:], func(code escrow.Code) bool { return code == escrow.CodeInvalidInput })
	if diff := cmp.Diff(met, escrow.TransitionRefusals()); diff != "" {
		t.Errorf("refusals met (-) and listed (+):\n%s", diff)
	}
}

func TestAPositionsEventsAreBoundedButItsEndIsNot(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "1000", "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	for range escrow.MaxPositionEvents - 2 {
		d.accept(transition(id, escrow.StatePartiallyReleased, "1"))
	}
	full := d.get(id)
	for _, to := range []escrow.State{escrow.StateReleased, escrow.StateCancelled, escrow.StateExpired} {
		batch := newDesk(t, d.books.InstitutionID())
		batch.books.Positions.Load(id, full)
		refusal := batch.refusal(transition(id, escrow.StatePartiallyReleased, "1"), escrow.CodePositionEventLimit)
		want := "The position has 1000 events, the most that it can have; it can only become RELEASED, CANCELLED, EXPIRED."
		if refusal.Detail != want {
			t.Errorf("the refusal is %q, want %q", refusal.Detail, want)
		}
		batch.accept(transition(id, to, ""))
		if got := batch.get(id).Version; got != escrow.MaxPositionEvents+1 {
			t.Errorf("the position ends with %d events", got)
		}
	}
}

func TestCheckMoneyFindsEveryContradiction(t *testing.T) {
	t.Parallel()
	sound := escrow.Position{
		Amount: 100, Funded: 100, Released: 30, Held: 70, Retained: 10, State: escrow.StatePartiallyReleased,
	}
	const negative, sum = "an amount is negative", "funded is not released + refunded + held"
	for _, test := range []struct {
		name   string
		change func(p *escrow.Position)
		want   string
	}{
		{"a sound position", func(*escrow.Position) {}, ""},
		{"released in full", func(p *escrow.Position) { p.Released, p.Held, p.State = 100, 0, "RELEASED" }, ""},
		{"refunded in part", func(p *escrow.Position) { p.Refunded, p.Held, p.State = 70, 0, "CANCELLED" }, ""},
		{"not funded", func(p *escrow.Position) { p.Funded, p.Released, p.Held, p.State = 0, 0, 0, "CREATED" }, ""},
		{"no amount", func(p *escrow.Position) { p.Amount = 0 }, negative},
		{"negative funded", func(p *escrow.Position) { p.Funded, p.Held = -100, -130 }, negative},
		{"negative released", func(p *escrow.Position) { p.Released, p.Held = -30, 130 }, negative},
		{"negative refunded", func(p *escrow.Position) { p.Refunded, p.Held = -1, 71 }, negative},
		{"negative held", func(p *escrow.Position) { p.Released, p.Held = 110, -10 }, negative},
		{"negative retained", func(p *escrow.Position) { p.Retained = -1 }, negative},
		{"money lost", func(p *escrow.Position) { p.Held-- }, sum},
		{"money made", func(p *escrow.Position) { p.Refunded++ }, sum},
		{
			"funded in part", func(p *escrow.Position) { p.Funded, p.Held = 99, 69 },
			"funded is neither nothing nor the whole amount",
		},
		{"funded while created", func(p *escrow.Position) { p.State = "CREATED" }, "money is there that was not funded yet"},
		{"released while funded", func(p *escrow.Position) { p.State = "FUNDED" }, "what was funded is not held"},
		{
			"nothing funded while funded", func(p *escrow.Position) { p.Funded, p.Released, p.Held, p.State = 0, 0, 0, "FUNDED" },
			"what was funded is not held",
		},
		{"held when released", func(p *escrow.Position) { p.State = "RELEASED" }, "what was funded is not released"},
		{
			"refunded when released", func(p *escrow.Position) { p.Refunded, p.Held, p.State = 70, 0, "RELEASED" },
			"what was funded is not released",
		},
		{"held when cancelled", func(p *escrow.Position) { p.State = "CANCELLED" }, "a final state holds money"},
		{"held when expired", func(p *escrow.Position) { p.State = "EXPIRED" }, "a final state holds money"},
		{
			"nothing held between partial releases", func(p *escrow.Position) { p.Released, p.Held, p.Retained = 100, 0, 0 },
			"a partial release holds less than it must",
		},
		{
			"less held than retained", func(p *escrow.Position) { p.Retained = 71 },
			"a partial release holds less than it must",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := sound
			test.change(&p)
			var got string
			if err := p.CheckMoney(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("CheckMoney says %q, want %q", got, test.want)
			}
		})
	}
}

// A list of currencies can drop one while money is held in it.
func TestMoneyOfAWithdrawnCurrencyMovesOn(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateFunded)
	var entries []escrow.Entry
	for _, entry := range d.books.Entries {
		if entry.Subject == id.String() {
			body := bytes.ReplaceAll(entry.Body, []byte(`"currency":"USD"`), []byte(`"currency":"HRK"`))
			entries = append(entries, must(escrow.ParseEntry(body, nil)))
		}
	}
	stored, ok := must(escrow.ResourceOf(entries)).(escrow.Position)
	hrk := money.Currency{Code: "HRK", Decimals: 2}
	if !ok || stored.Currency != hrk || stored.Held != d.get(id).Held {
		t.Fatalf("the entries make %+v", stored)
	}

	stored.Events = nil
	d.books.Positions.Load(id, stored)
	d.accept(transition(id, escrow.StatePartiallyReleased, "1"))
	if got := d.get(id); got.Released != 100 || got.Currency != hrk {
		t.Errorf("after a release of 1 it is %+v", got)
	}
	if _, step, _ := d.lastEntry().PositionEvent(); step.Amount.Format(step.Currency) != "1.00" || step.Currency != hrk {
		t.Errorf("the entry tells %+v", step)
	}

	_, faults := escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: stored.AssetID.String(), HolderReference: "h", Currency: "HRK", Amount: "1",
	})
	if len(faults) != 1 || faults[0].Field != "currency" {
		t.Errorf("a position of a withdrawn currency has the faults %v", faults)
	}
}
