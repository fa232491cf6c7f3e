package escrow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// personal makes a position that has all that can be private, and ends it. A step of it is an entry
// with a reason and metadata.
func (d *desk) personal(asset escrow.AssetID) escrow.PositionID {
	d.t.Helper()
	in := referenced(asset, "invoice 1")
	in.HolderReference, in.Metadata = "Ada Lovelace", escrow.Metadata(`{"phone":"555"}`)
	id := subjectID[escrow.PositionID](d.accept(valid(escrow.NewCreatePosition(in))))
	d.accept(transition(id, escrow.StateFunded, ""))
	d.accept(valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("4")), Reason: new("Ada asked"),
		Metadata: escrow.Metadata(`{"call":1}`),
	}, nil)))
	d.accept(transition(id, escrow.StateReleased, ""))
	return id
}

func erasure(position escrow.PositionID, reason string, ifVersion ...int64) escrow.ErasePosition {
	var given *string
	if reason != "" {
		given = &reason
	}
	return valid(escrow.NewErasePosition(position, given, ifVersion, 0))
}

// forgotten are entries as the database has them after an erasure of the position: those on it that
// came before have nothing beside their bodies.
func forgotten(position escrow.PositionID, entries []escrow.Entry) (left []escrow.Entry) {
	last := 0
	for i, entry := range entries {
		if entry.Erases() && entry.Subject == position.String() {
			last = i
		}
	}
	for i, entry := range entries {
		stored := entry.Private
		if i < last && entry.Subject == position.String() {
			stored = nil
		}
		left = append(left, must(escrow.ParseEntry(entry.Body, stored)))
	}
	return left
}

func TestErasureRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	created, held := d.position(asset, "10", "USD"), d.position(asset, "10", "USD")
	d.accept(transition(held, escrow.StateFunded, ""))
	d.now = d.now.Add(time.Hour)
	ended := d.personal(asset)

	const retention = 30 * 24 * time.Hour
	erase := func(position escrow.PositionID, ifVersion ...int64) escrow.Command {
		return valid(escrow.NewErasePosition(position, nil, ifVersion, retention))
	}
	d.refuse(erase(escrow.PositionID{1}, 9), escrow.CodePositionNotFound)
	d.refuse(erase(created, 9), escrow.CodeVersionMismatch)
	d.refuse(erase(ended, 9), escrow.CodeVersionMismatch)
	for position, want := range map[escrow.PositionID]string{
		created: "The position is CREATED. What is private of it can be erased once it is CANCELLED, EXPIRED.",
		held:    "The position is FUNDED. What is private of it can be erased once it is RELEASED, CANCELLED, EXPIRED.",
	} {
		if got := d.refusal(erase(position), escrow.CodePositionOpen).Detail; got != want {
			t.Errorf("the refusal is %q, want %q", got, want)
		}
	}

	// A position is kept up to the moment that the refusal names, and no longer.
	until := d.get(ended).ErasableFrom(retention)
	d.now = until.Add(-time.Microsecond)
	want := fmt.Sprintf("The position was last changed at %s, and is kept until %s.",
		escrow.FormatTime(d.get(ended).UpdatedAt), escrow.FormatTime(until))
	if got := d.refusal(erase(ended, 4), escrow.CodeRetentionPeriod).Detail; got != want {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
	d.checkReplay()
	d.now = until
	d.accept(erase(ended, 3, 4))
}

func TestAnErasureTakesWhatIsPrivateAndNothingElse(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.personal(d.escrow())
	want := d.get(id)
	d.now = d.now.Add(time.Hour)
	outcome := d.accept(erasure(id, " Article 17 ", 4))

	want.HolderReference, want.ExternalReference, want.Metadata = "", "", nil
	want.HistoryBytes, want.Version, want.UpdatedAt = int64(len("Article 17")), 5, d.now
	if diff := cmp.Diff(want, d.get(id), exactly()); diff != "" {
		t.Errorf("the position wanted (-) and erased (+):\n%s", diff)
	}
	if diff := cmp.Diff(escrow.Resource(want), outcome.Resource, exactly()); diff != "" {
		t.Errorf("the answer wanted (-) and given (+):\n%s", diff)
	}
	if !want.Erased() {
		t.Error("the position does not say that it was erased")
	}

	entry := d.lastEntry()
	if entry.Kind != escrow.KindPositionDataErased || !entry.Erases() || d.books.Entries[0].Erases() {
		t.Errorf("an entry of the kind %s erases: %t", entry.Kind, entry.Erases())
	}
	details := fmt.Sprintf(`{"id":%q,"entries":4,"reason":"Article 17"}`, id.String())
	if got := string(must(entry.Details())); got != details {
		t.Errorf("the entry tells %s, want %s", got, details)
	}
	d.checkReplay()
}

func TestASecondErasureTakesTheReasonOfTheFirst(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.personal(d.escrow())
	d.accept(erasure(id, "Article 17"))

	// What there is no more needs not be kept, so no retention holds the second one up; and its own
	// reason would have to be erased in turn.
	d.accept(valid(escrow.NewErasePosition(id, new("once more"), nil, time.Hour)))
	if p := d.get(id); p.Version != 6 || p.HistoryBytes != 0 {
		t.Errorf("erased twice, it has version %d and %d bytes of history", p.Version, p.HistoryBytes)
	}
	details := fmt.Sprintf(`{"id":%q,"entries":5}`, id.String())
	if got := string(must(d.lastEntry().Details())); got != details {
		t.Errorf("the second entry tells %s, want %s", got, details)
	}

	entries := len(d.books.Entries)
	outcome := d.accept(erasure(id, "Article 17"))
	if len(d.books.Entries) != entries || outcome.Subject != id.String() || outcome.Resource.(escrow.Position).Version != 6 {
		t.Errorf("a third erasure makes %d entries and answers %+v", len(d.books.Entries)-entries, outcome)
	}
	d.refuse(erasure(id, "", 4), escrow.CodeVersionMismatch)
}

func TestAnErasureWithoutAReasonLeavesNothingToErase(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.personal(d.escrow())
	d.accept(erasure(id, ""))
	entries := len(d.books.Entries)
	d.accept(erasure(id, "Article 17"))
	if len(d.books.Entries) != entries || d.lastEntry().Private != nil {
		t.Errorf("the journal has %d entries, want %d, and %q beside the last", len(d.books.Entries), entries, d.lastEntry().Private)
	}
}

// The values are gone from the entries as well, and the bodies make the rows that there are.
func TestAnErasedJournalMakesTheSameRows(t *testing.T) {
	t.Parallel()
	for name, erasures := range map[string]int{"once": 1, "and its reason": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			asset := d.escrow()
			id, other := d.personal(asset), d.personal(asset)
			for range erasures {
				d.accept(erasure(id, "Article 17"))
			}

			left := forgotten(id, d.books.Entries)
			rebuilt := escrow.NewBooks(d.books.InstitutionID(), escrow.Head{}, true)
			for _, entry := range left {
				if err := rebuilt.Reapply(entry); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(rowsOf(d.books), rowsOf(rebuilt), exactly()); diff != "" {
				t.Errorf("rows before (-) and after (+) the entries forgot:\n%s", diff)
			}
			for i, event := range eventsOf(id, left) {
				had := d.history(id)[i]
				if gone := had.Reason != "" || had.Metadata != nil; event.Erased != gone || event.Reason != "" || event.Metadata != nil {
					t.Errorf("what was %+v is %+v", had, event)
				}
			}
			if diff := cmp.Diff(d.history(other), eventsOf(other, left), exactly()); diff != "" {
				t.Errorf("events of another position before (-) and after (+):\n%s", diff)
			}
		})
	}
}

// A journal that erases a position which money is still held for is none that the domain has made.
func TestAnErasureOfAnOpenPositionIsNotRebuilt(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	open := d.in(escrow.StateFunded)
	history := d.books.Entries
	d.accept(erasure(d.personal(asset), ""))
	body := strings.ReplaceAll(string(d.lastEntry().Body), d.lastEntry().Subject, open.String())
	forged := must(escrow.ParseEntry([]byte(strings.Replace(body, `"entries":4`, `"entries":2`, 1)), nil))

	books := escrow.NewBooks(d.books.InstitutionID(), escrow.Head{}, true)
	for _, entry := range history {
		if err := books.Reapply(entry); err != nil {
			t.Fatal(err)
		}
	}
	books.Head.Sequence = forged.Sequence - 1
	if err := books.Reapply(forged); err == nil || !strings.Contains(err.Error(), "has not come to an end with 2 entries") {
		t.Errorf("rebuilding it gives %v", err)
	}
}

// Each position of a batch is erased if its own state allows it.
func TestABatchErasesThePositionsThatAllowIt(t *testing.T) {
	t.Parallel()
	const retention = time.Hour
	d := openDesk(t)
	asset := d.escrow()
	ended, open := d.personal(asset), d.position(asset, "10", "USD")
	d.now = d.get(ended).ErasableFrom(retention)
	late, unknown := d.personal(asset), escrow.PositionID{1}

	batch := escrow.NewErasureBatch([]escrow.PositionID{open, ended, late, unknown}, retention)
	want := escrow.Needs{Positions: []escrow.PositionID{open, ended, late, unknown}}
	if diff := cmp.Diff(want, batch.Needs()); diff != "" {
		t.Errorf("needs wanted (-) and given (+):\n%s", diff)
	}
	results := d.accept(batch).Resource.(escrow.BatchResults)
	if got := fmt.Sprint(codes(results.Refusals())); got != "[position_open  retention_period position_not_found]" {
		t.Errorf("the items are refused with %s", got)
	}
	if !d.get(ended).Erased() || d.get(open).Erased() || d.get(late).Erased() {
		t.Error("another position was erased than the one that could be")
	}
	d.checkReplay()
}

// People have the right to be forgotten by an institution that is no longer there, too.
func TestAClosedInstitutionErases(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	one, other, open := d.personal(asset), d.personal(asset), d.position(asset, "10", "USD")
	d.accept(escrow.CloseInstitution{})

	d.accept(erasure(one, "Article 17"))
	d.accept(escrow.NewErasureBatch([]escrow.PositionID{other, open}, 0))
	d.accept(escrow.RecordErasure{})
	if !d.get(one).Erased() || !d.get(other).Erased() {
		t.Error("a closed institution does not erase")
	}
	item := escrow.TransitionItem{PositionID: open.String(), TransitionInput: escrow.TransitionInput{ToState: "CANCELLED"}}
	d.refuse(transitions(item).batch(false), escrow.CodeInstitutionClosed)
	d.refuse(creations(referenced(asset, "a")).batch(false), escrow.CodeInstitutionClosed)
}

func TestWhatBecameOfAHoldersPositionsIsRecorded(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	until := opening().Add(time.Hour)
	for name, made := range map[string]escrow.Erasure{
		"all erased":    {Erased: 3, ApprovalsErased: 2, Complete: true},
		"some retained": {Erased: 1, Open: 2, Retained: 3, ApprovalsPending: 4, ApprovalsRetained: 5, RetainedUntil: &until},
	} {
		d.now = d.now.Add(time.Second)
		outcome := d.accept(escrow.RecordErasure{Erasure: made})
		want := made
		want.ID, want.InstitutionID, want.CreatedAt = subjectID[escrow.ErasureID](outcome), d.books.InstitutionID(), d.now
		if diff := cmp.Diff(escrow.Resource(want), outcome.Resource); diff != "" {
			t.Errorf("%s: wanted (-) and recorded (+):\n%s", name, diff)
		}
		told := must(escrow.ResourceOf([]escrow.Entry{must(escrow.ParseEntry(d.lastEntry().Body, nil))}))
		if diff := cmp.Diff(escrow.Resource(want), told); diff != "" {
			t.Errorf("%s: wanted (-) and told by the entry (+):\n%s", name, diff)
		}

		// Whose positions they were is nowhere.
		var details map[string]any
		if err := json.Unmarshal(must(d.lastEntry().Details()), &details); err != nil || len(d.lastEntry().PrivateMembers()) > 0 {
			t.Errorf("the entry has %v private: %v", d.lastEntry().PrivateMembers(), err)
		}
		for member := range details {
			switch member {
			case "id", "erased", "open", "retained", "approvalsErased", "approvalsPending", "approvalsRetained", "retainedUntil", "complete":
			default:
				t.Errorf("the entry tells %s", member)
			}
		}
	}
	d.checkReplay()
}

func TestAnErasureIsRetainedUntilTheLastOfItsPositions(t *testing.T) {
	t.Parallel()
	first, last := opening().Add(time.Hour), opening().Add(2*time.Hour)
	var found escrow.Erasure
	for i, step := range []struct{ until, want time.Time }{{first, first}, {last, last}, {first, last}, {last, last}} {
		found.Retain(step.until)
		if !found.RetainedUntil.Equal(step.want) || found.Retained != int64(i+1) {
			t.Errorf("%d are retained until %s, want %d until %s", found.Retained, found.RetainedUntil, i+1, step.want)
		}
	}
}

func TestAHolderIsLookedForByTheReferenceAsItIsKept(t *testing.T) {
	t.Parallel()
	reference, faults := escrow.ReadHolderReference(" Ada  Lovelace\n")
	checkFaults(t, faults)
	d := openDesk(t)
	in := referenced(d.escrow(), "invoice 1")
	in.HolderReference = " Ada  Lovelace\n"
	id := subjectID[escrow.PositionID](d.accept(valid(escrow.NewCreatePosition(in))))
	if kept := d.get(id).HolderReference; reference != kept {
		t.Errorf("the reference %q is looked for as %q", kept, reference)
	}
}
