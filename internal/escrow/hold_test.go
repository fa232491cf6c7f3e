package escrow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// hold makes the command that puts a hold on a position; an empty amount is on all that it holds.
func hold(position escrow.PositionID, kind escrow.HoldKind, amount string, ifVersion ...int64) escrow.PlaceHold {
	in := escrow.HoldInput{Kind: string(kind), Reason: "a reason"}
	if amount != "" {
		in.Amount = new(money.Digits(amount))
	}
	return valid(escrow.NewPlaceHold(position, in, ifVersion))
}

func lift(position escrow.PositionID, id escrow.HoldID) escrow.LiftHold {
	return valid(escrow.NewLiftHold(position, id, "it is over"))
}

// held puts a hold on a position.
func (d *desk) held(position escrow.PositionID, kind escrow.HoldKind, amount string) escrow.HoldID {
	d.t.Helper()
	return d.accept(hold(position, kind, amount)).Resource.(escrow.Hold).ID
}

// funded makes a position that holds an amount.
func (d *desk) funded(amount string) escrow.PositionID {
	d.t.Helper()
	id := d.position(d.escrow(), amount, "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	return id
}

// onHold tells what of a position is on hold and available.
func (d *desk) onHold(id escrow.PositionID) string {
	p := d.get(id)
	return p.OnHold().Format(p.Currency) + " " + p.Available().Format(p.Currency)
}

func TestWhatIsOnHoldDoesNotMove(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.funded("100")
	court, own := d.held(id, escrow.HoldLegal, "60.50"), d.held(id, escrow.HoldCompliance, "30")
	if got := d.onHold(id); got != "90.50 9.50" {
		t.Errorf("on hold and available are %s", got)
	}

	for _, step := range []escrow.TransitionPosition{
		transition(id, escrow.StatePartiallyReleased, "9.51"), transition(id, escrow.StateReleased, ""),
		transition(id, escrow.StateReleased, "100"), transition(id, escrow.StateCancelled, ""),
		transition(id, escrow.StateExpired, ""),
	} {
		want := fmt.Sprintf("Of the 100.00 USD that are held, 90.50 are on hold: LEGAL %s, COMPLIANCE %s.", court, own)
		if got := d.refusal(step, escrow.CodePositionOnHold).Detail; got != want {
			t.Errorf("the refusal is %q, want %q", got, want)
		}
	}
	d.accept(transition(id, escrow.StatePartiallyReleased, "9.50"))
	if got := d.onHold(id); got != "90.50 0.00" {
		t.Errorf("on hold and available are %s once all that was available is released", got)
	}

	d.refuse(transition(id, escrow.StatePartiallyReleased, "0.01"), escrow.CodePositionOnHold)
	d.accept(lift(id, court))
	d.accept(transition(id, escrow.StatePartiallyReleased, "60.50"))
	d.accept(lift(id, own))
	d.accept(transition(id, escrow.StateCancelled, ""))
	if p := d.get(id); p.Released != 7000 || p.Refunded != 3000 || p.Holds != 0 || p.Version != 9 {
		t.Errorf("the position has released %d and refunded %d, is under %d holds and has the version %d",
			p.Released, p.Refunded, p.Holds, p.Version)
	}
	d.checkReplay()
}

// A hold without an amount is on what comes in later, too, and stops neither that nor an end without money.
func TestAHoldOnAllIsOnWhatComesLater(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	frozen, empty := d.position(asset, "10", "USD"), d.position(asset, "10", "USD")
	all := d.held(frozen, escrow.HoldCompliance, "")
	d.accept(transition(frozen, escrow.StateFunded, ""))
	if got := d.onHold(frozen); got != "10.00 0.00" {
		t.Errorf("on hold and available are %s", got)
	}
	d.refuse(transition(frozen, escrow.StatePartiallyReleased, "0.01"), escrow.CodePositionOnHold)

	// Beside it, an amount can be held as well, which outlasts it.
	d.held(frozen, escrow.HoldLegal, "4")
	d.accept(lift(frozen, all))
	if got := d.onHold(frozen); got != "4.00 6.00" {
		t.Errorf("on hold and available are %s", got)
	}

	d.held(empty, escrow.HoldCompliance, "")
	d.accept(transition(empty, escrow.StateCancelled, ""))
	d.checkReplay()
}

func TestHoldsCountInTheMinorUnitsOfAnyCurrency(t *testing.T) {
	t.Parallel()
	for currency, amounts := range map[string][3]string{"JPY": {"101", "100", "1"}, "KWD": {"1.001", "1.000", "0.001"}} {
		d := openDesk(t)
		id := d.position(d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"`+currency+`"}`)), amounts[0], currency)
		d.accept(transition(id, escrow.StateFunded, ""))
		d.held(id, escrow.HoldCompliance, amounts[1])
		if got := d.onHold(id); got != amounts[1]+" "+amounts[2] {
			t.Errorf("on hold and available are %s %s", got, currency)
		}
		d.accept(transition(id, escrow.StatePartiallyReleased, amounts[2]))
		d.refuse(transition(id, escrow.StatePartiallyReleased, amounts[2]), escrow.CodePositionOnHold)
		d.checkReplay()
	}
}

func TestPlacingRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.funded("10")
	past := escrow.HoldInput{Kind: "LEGAL", Reason: "r", ReviewAt: new("2020-01-01T00:00:00Z"), Amount: new(money.Digits("11"))}
	tooMuch := past
	tooMuch.ReviewAt, tooMuch.Kind = nil, "COMPLIANCE"
	placing := func(in escrow.HoldInput, ifVersion ...int64) escrow.PlaceHold {
		return valid(escrow.NewPlaceHold(id, in, ifVersion))
	}

	d.refuse(hold(escrow.PositionID{1}, escrow.HoldLegal, "", 9), escrow.CodePositionNotFound)
	d.refuse(placing(past, 9), escrow.CodeVersionMismatch)
	operator := escrow.ActorKey(d.key(escrow.RoleOperator, nil))
	root := d.actor
	d.actor = operator
	if got := d.refusal(placing(past, 2), escrow.CodePermissionMissing).Detail; got != "This takes the permission holds.legal." {
		t.Errorf("the refusal is %q", got)
	}
	d.actor = root
	d.refuse(placing(past, 2), escrow.CodeInvalidInput)
	want := "The position holds 10.00 USD of which no amount is on hold; leave the amount out to hold all of it."
	if got := d.refusal(placing(tooMuch, 2), escrow.CodeHoldAmount).Detail; got != want {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
	for _, amount := range []string{"0", "1.001"} {
		d.refuse(hold(id, escrow.HoldLegal, amount), escrow.CodeInvalidInput)
	}

	d.held(id, escrow.HoldLegal, "6")
	d.refuse(hold(id, escrow.HoldLegal, "4.01"), escrow.CodeHoldAmount)
	for range escrow.MaxOpenHolds - 2 {
		d.held(id, escrow.HoldLegal, "")
	}
	d.held(id, escrow.HoldLegal, "4")
	d.refuse(hold(id, escrow.HoldLegal, "11"), escrow.CodeHoldLimit)
	d.actor = operator
	d.refuse(hold(id, escrow.HoldCompliance, ""), escrow.CodeHoldLimit)
	d.checkReplay()
}

func TestLiftingRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id, other := d.funded("10"), d.funded("10")
	court := d.held(id, escrow.HoldLegal, "1")
	root := d.actor

	d.refuse(lift(id, escrow.HoldID{1}), escrow.CodeHoldNotFound)
	d.refuse(lift(other, court), escrow.CodeHoldNotFound)
	d.refuse(lift(escrow.PositionID{1}, court), escrow.CodePositionNotFound)
	d.accept(valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: []string{"holds.lift", "holds.place"}}, nil)))
	d.actor = escrow.ActorKey(d.key("clerk", nil))
	d.refuse(lift(id, court), escrow.CodePermissionMissing)
	mine := d.held(id, escrow.HoldCompliance, "1")
	d.accept(lift(id, mine))
	d.refuse(lift(id, mine), escrow.CodeHoldLifted)
	d.actor = root
	d.accept(lift(id, court))

	d.actor = escrow.ActorKey(d.key(escrow.RoleOperator, nil))
	d.refuse(lift(id, court), escrow.CodePermissionMissing)
	d.checkReplay()
}

func TestHoldsTakeReasons(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1001)
	_, faults := escrow.NewPlaceHold(escrow.PositionID{}, escrow.HoldInput{
		Kind: "DISPUTE", Reason: long, Reference: new(""), ReviewAt: new("tomorrow"), Amount: new(money.Digits("ten")),
	}, nil)
	var fields []string
	for _, fault := range faults {
		fields = append(fields, fault.Field)
	}
	if diff := cmp.Diff([]string{"kind", "reason", "reference", "reviewAt", "amount"}, fields); diff != "" {
		t.Errorf("faults wanted (-) and found (+):\n%s", diff)
	}
	_, faults = escrow.NewPlaceHold(escrow.PositionID{}, escrow.HoldInput{Kind: "LEGAL"}, nil)
	checkFaults(t, faults, "reason is required")
	_, faults = escrow.NewLiftHold(escrow.PositionID{}, escrow.HoldID{}, "")
	checkFaults(t, faults, "reason is required")
	_, faults = escrow.NewLiftHold(escrow.PositionID{}, escrow.HoldID{}, " ")
	checkFaults(t, faults, "reason must not be empty: leave it out instead")
}

// A position that is final holds nothing, but its data can be needed by a court, and are not erased then.
func TestALegalHoldKeepsDataFromErasure(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.personal(d.escrow())
	d.refuse(hold(id, escrow.HoldCompliance, ""), escrow.CodeHoldAmount)
	d.refuse(hold(id, escrow.HoldLegal, "1"), escrow.CodeHoldAmount)
	first, second := d.held(id, escrow.HoldLegal, ""), d.held(id, escrow.HoldLegal, "")
	if got := d.onHold(id); got != "0.00 0.00" {
		t.Errorf("on hold and available are %s", got)
	}

	want := fmt.Sprintf("The position is under a legal hold, which keeps its data: %s, %s.", first, second)
	if got := d.refusal(erasure(id, ""), escrow.CodeUnderLegalHold).Detail; got != want {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
	d.accept(lift(id, first))
	d.refuse(erasure(id, ""), escrow.CodeUnderLegalHold)
	d.accept(lift(id, second))
	d.accept(erasure(id, ""))
	if p := d.get(id); !p.Erased() || p.HistoryBytes != 0 {
		t.Errorf("the position is erased: %t, with %d bytes", p.Erased(), p.HistoryBytes)
	}

	// What holds say is private, too, and goes with the rest.
	left := forgotten(id, d.books.Entries)
	_, holds, err := escrow.SubjectOf(slices.DeleteFunc(left, func(e escrow.Entry) bool { return e.Subject != id.String() }))
	if err != nil || len(holds) != 2 {
		t.Fatalf("the entries tell of %d holds, %v", len(holds), err)
	}
	for _, entry := range left {
		if step, ok := entry.HoldStep(); ok && (step.Reason != "" || !step.Erased) {
			t.Errorf("the entry %d still says %q", entry.Sequence, step.Reason)
		}
	}
}

// One of another kind that was placed before the end does not.
func TestAComplianceHoldKeepsNoData(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "10", "USD")
	d.held(id, escrow.HoldCompliance, "")
	d.accept(transition(id, escrow.StateCancelled, ""))
	d.accept(erasure(id, ""))
	d.checkReplay()
}

// However long its history is, a court's hold can be placed on a position, and every hold can be lifted.
func TestHoldsWithinTheBoundsOfAHistory(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.funded("1000")
	mine := d.held(id, escrow.HoldCompliance, "1")
	for d.get(id).Version < escrow.MaxPositionEvents {
		d.accept(transition(id, escrow.StatePartiallyReleased, "0.01"))
	}
	d.refusal(hold(id, escrow.HoldCompliance, "1"), escrow.CodePositionEventLimit)
	court := d.held(id, escrow.HoldLegal, "0.01")
	d.accept(lift(id, mine))
	d.refusal(transition(id, escrow.StateReleased, ""), escrow.CodePositionOnHold)
	d.accept(lift(id, court))
	d.accept(transition(id, escrow.StateReleased, ""))
	d.checkReplay()
}

// The answer to a hold, and to its lifting, can be told again from the journal, be it after other steps.
func TestHoldsAreToldByTheirEntries(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.funded("10")
	in := escrow.HoldInput{
		Kind: "LEGAL", Amount: new(money.Digits("2.5")), Reason: " an order ", Reference: new("HC-1"),
		ReviewAt: new("2027-06-01T00:00:00Z"),
	}
	var answers []escrow.Outcome
	answers = append(answers, d.accept(valid(escrow.NewPlaceHold(id, in, []int64{2}))))
	placed := answers[0].Resource.(escrow.Hold)
	d.now = d.now.Add(time.Hour)
	answers = append(answers, d.accept(lift(id, placed.ID)))
	d.accept(transition(id, escrow.StateReleased, ""))

	if answers[0].Subject != id.String() || placed.PositionID != id || placed.Amount.Format() != "2.50" || !placed.InForce() ||
		placed.Version() != 1 || placed.ReviewAt == nil || len(placed.Steps) != 1 || placed.Steps[0].Reason != "an order" ||
		placed.Steps[0].Reference != "HC-1" || placed.Steps[0].Actor != d.actor {
		t.Errorf("the hold is answered as %+v, on %s", placed, answers[0].Subject)
	}
	lifted := answers[1].Resource.(escrow.Hold)
	if lifted.InForce() || lifted.Version() != 2 || *lifted.LiftedAt != d.books.Entries[len(d.books.Entries)-2].At || lifted.Steps[0].Reason != "it is over" {
		t.Errorf("the lifting is answered as %+v", lifted)
	}
	for _, answer := range answers {
		var history []escrow.Entry
		for _, entry := range d.books.Entries {
			if entry.Subject == id.String() && entry.Sequence <= answer.Sequence {
				history = append(history, entry)
			}
		}
		if diff := cmp.Diff(answer.Resource, must(escrow.ResourceOf(history)), exactly()); diff != "" {
			t.Errorf("the answer (-) and what the journal tells (+) differ:\n%s", diff)
		}
	}
}

// What the domain would have refused is refused where it stands in a journal as well, whoever wrote it there.
func TestForgedHoldsAreFound(t *testing.T) {
	t.Parallel()
	type forging struct {
		name string
		// before is what truly happens, and forge changes the last entry's body, which is then read after all but it.
		before func(d *desk, id escrow.PositionID)
		forge  func(body string) string
	}
	change := func(old, by string) func(string) string {
		return func(body string) string {
			if !strings.Contains(body, old) {
				t.Fatalf("there is no %s in %s", old, body)
			}
			return strings.Replace(body, old, by, 1)
		}
	}
	for _, test := range []forging{
		{"a hold on more than there is", func(d *desk, id escrow.PositionID) { d.held(id, escrow.HoldLegal, "10") }, change(`"amount":"10.00"`, `"amount":"10.01"`)},
		{"a hold in another currency", func(d *desk, id escrow.PositionID) { d.held(id, escrow.HoldLegal, "10") }, change(`"currency":"USD"`, `"currency":"EUR"`)},
		{"a lifting of more than was on hold", func(d *desk, id escrow.PositionID) { d.accept(lift(id, d.held(id, escrow.HoldLegal, "9"))) }, change(`"amount":"9.00"`, `"amount":"9.01"`)},
		{"a lifting of less than all", func(d *desk, id escrow.PositionID) { d.accept(lift(id, d.held(id, escrow.HoldLegal, ""))) }, change(`"amount":"10.00"`, `"amount":"1.00"`)},
		{"a lifting of another kind", func(d *desk, id escrow.PositionID) { d.accept(lift(id, d.held(id, escrow.HoldLegal, "9"))) }, change(`"kind":"LEGAL"`, `"kind":"COMPLIANCE"`)},
		{"a release of what is on hold", func(d *desk, id escrow.PositionID) {
			d.held(id, escrow.HoldLegal, "9")
			d.accept(transition(id, escrow.StatePartiallyReleased, "1"))
		}, change(`"amount":"1.00"`, `"amount":"1.01"`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			id := d.funded("10")
			test.before(d, id)
			var history []escrow.Entry
			for _, entry := range d.books.Entries {
				if entry.Subject == id.String() {
					history = append(history, entry)
				}
			}
			last := len(history) - 1
			if _, _, err := escrow.SubjectOf(history); err != nil {
				t.Fatalf("the true history: %v", err)
			}
			forged := must(escrow.ParseEntry([]byte(test.forge(string(history[last].Body))), history[last].Private))
			if p, _, err := escrow.SubjectOf(append(slices.Clone(history[:last]), forged)); err == nil {
				t.Errorf("the forged entry makes %+v", p)
			}
			// Twice is once too often.
			if history[last].Kind != escrow.KindPositionStateChanged {
				if p, _, err := escrow.SubjectOf(append(slices.Clone(history), history[last])); err == nil {
					t.Errorf("the same entry twice makes %+v", p)
				}
			}
		})
	}
}
