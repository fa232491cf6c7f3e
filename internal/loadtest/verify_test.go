package loadtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestAcknowledgedOperationsAreFound(t *testing.T) {
	eachStore(t, func(b *bank) {
		b.funded("a")
		b.funded("b")
		b.create("carried-out")
		b.tell("carried-out", "create", "-", outcomeUnknown, "-")
		b.tell("lost-on-the-way", "create", "-", outcomeUnknown, "-")
		if !b.operations.addLine("EG begin cut-off create -") {
			b.t.Fatal("an operation without an end is not taken for one")
		}
		b.create("cut-off-and-done")
		if !b.operations.addLine("EG begin cut-off-and-done create -") {
			b.t.Fatal("an operation without an end is not taken for one")
		}
		b.tell("refused", "create", "-", outcomeRefused, "-")

		want := Correctness{
			Passed:         true,
			Acknowledged:   4,
			Refused:        1,
			UnknownDone:    1,
			UnknownNotDone: 1,
			CutOffDone:     1,
			CutOffNotDone:  1,
			Journals:       1,
			Entries:        b.sent + 4, // The institution, its key, template and asset have entries, too.
			Positions:      4,
		}
		got := b.verify()
		if !equalCounts(got, want) {
			b.t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func equalCounts(a, b Correctness) bool {
	return a.Passed == b.Passed && a.Acknowledged == b.Acknowledged && a.Refused == b.Refused &&
		a.UnknownDone == b.UnknownDone && a.UnknownNotDone == b.UnknownNotDone &&
		a.CutOffDone == b.CutOffDone && a.CutOffNotDone == b.CutOffNotDone && a.Journals == b.Journals && a.Entries == b.Entries && a.Positions == b.Positions &&
		a.DifferenceCount == b.DifferenceCount
}

// What waits for an approval is there once, and so is what its approval has carried out, whether or not the client
// learned of either.
func TestApprovalsAreFound(t *testing.T) {
	eachStore(t, func(b *bank) {
		b.askCheckers()
		released := b.funded("a")
		asked := b.transition("ask", released, "RELEASED")
		b.tell("ask", "RELEASED", released, outcomeWaiting, asked)
		b.approve("approve", asked)
		b.tell("approve", "approve", asked, outcomeOK, asked)

		unanswered := b.funded("b")
		b.approve("approve-unanswered", b.transition("ask-unanswered", unanswered, "RELEASED"))
		b.tell("ask-unanswered", "RELEASED", unanswered, outcomeUnknown, "-")

		left := b.funded("c")
		b.tell("ask-left", "RELEASED", left, outcomeWaiting, b.transition("ask-left", left, "RELEASED"))

		got := b.verify()
		if !got.Passed || got.Waiting != 2 || got.Acknowledged != 9 || got.UnknownDone != 1 {
			b.t.Errorf("got %+v", got)
		}
	})
}

// What an approval is about is carried out once, and not without it.
func TestApprovalsAndWhatTheyCarryOutAreCompared(t *testing.T) {
	given := journalEntry{Kind: escrow.KindApprovalGiven, Subject: "apr_1"}
	release := journalEntry{
		Kind: escrow.KindPositionStateChanged, Subject: "pos_1", Details: []byte(`{"toState": "RELEASED"}`),
	}
	cancel := release
	cancel.Details = []byte(`{"toState": "CANCELLED"}`)

	for name, test := range map[string]struct {
		given, carriedOut []journalEntry
		want              []string
	}{
		"once": {[]journalEntry{given}, []journalEntry{release}, nil},
		"twice": {
			[]journalEntry{given},
			[]journalEntry{release, release},
			[]string{"the approval apr_1 was given, and what it is about carried out 2 times"},
		},
		"not at all": {
			[]journalEntry{given}, nil, []string{"the approval apr_1 was given, and what it is about carried out 0 times"},
		},
		"by nobody": {
			nil,
			[]journalEntry{release},
			[]string{"what the approval apr_1 is about was carried out, although nobody approved it"},
		},
		"otherwise than asked": {
			[]journalEntry{given},
			[]journalEntry{cancel},
			[]string{"operation ask asked for the state RELEASED, but the journal has CANCELLED"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := verification{
				entries:    map[string][]journalEntry{"approve": test.given},
				carriedOut: map[string][]journalEntry{"apr_1": test.carriedOut},
			}
			if test.carriedOut == nil {
				v.carriedOut = nil
			}
			asked := operations{byID: map[string]*operation{
				"ask": {kind: "RELEASED", subject: "apr_1", outcome: outcomeWaiting},
			}}
			v.checkApprovals(&asked)
			if !slices.Equal(v.Differences, test.want) {
				t.Errorf("found %q, want %q", v.Differences, test.want)
			}
		})
	}
}

// A run that acknowledged nothing has nothing that could be found, and does not pass.
func TestNothingAcknowledgedIsNotEstablished(t *testing.T) {
	eachStore(t, func(b *bank) {
		b.tell("refused", "create", "-", outcomeRefused, "-")
		found := b.verify()
		if found.Passed || !strings.Contains(found.NotEstablished, "nothing was acknowledged") {
			b.t.Errorf("found %+v", found)
		}
	})
}

// Each way in which the journals can differ from the answers is one difference.
func TestDifferencesAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(b *bank, position string)
		want string
	}{
		"acknowledged and lost": {func(b *bank, _ string) {
			b.tell("lost", "create", "-", outcomeOK, "pos_lost")
		}, "operation lost (create pos_lost) was acknowledged, but is in no journal"},
		"done twice": {func(b *bank, _ string) {
			b.create("twice")
			b.create("twice")
			b.tell("twice", "create", "-", outcomeUnknown, "-")
		}, "operation twice (create) was carried out 2 times"},
		"refused and done": {func(b *bank, _ string) {
			b.tell("refused", "create", "-", outcomeRefused, b.create("refused"))
		}, "operation refused (create) was refused with , but is in the journal"},
		"another position answered": {func(b *bank, position string) {
			b.create("other")
			b.tell("other", "create", "-", outcomeOK, position)
		}, "operation other was answered with POSITION, but the journal has it on pos_"},
		"another state": {func(b *bank, position string) {
			b.transition("state", position, "CANCELLED")
			b.tell("state", "RELEASED", position, outcomeOK, position)
		}, "operation state asked for the state RELEASED, but the journal has CANCELLED"},
		"answered as waiting, and done": {func(b *bank, position string) {
			b.transition("early", position, "CANCELLED")
			b.tell("early", "CANCELLED", position, outcomeWaiting, position)
		}, "operation early (CANCELLED) was answered as waiting, but the journal has "},
		"answered as done, and waiting": {func(b *bank, position string) {
			b.askCheckers()
			b.tell("late", "RELEASED", position, outcomeOK, b.transition("late", position, "RELEASED"))
		}, "operation late (RELEASED) was answered as ok, but the journal has APPROVAL_REQUESTED"},
		"a position removed": {func(b *bank, _ string) {
			b.exec("DELETE FROM positions")
		}, "the position POSITION is in the journal, but not among the positions"},
		"a position moved on": {func(b *bank, _ string) {
			b.exec("UPDATE positions SET state = 'RELEASED', released = amount, held = 0")
		}, "the position POSITION: it is RELEASED, version 2; its entries make it FUNDED, version 2"},
		"money changed": {func(b *bank, _ string) {
			b.exec("UPDATE positions SET amount = 99, funded = 99, held = 99")
		}, "the position POSITION: amount is 0.99; its entries make it 1000.00"},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(b *bank) {
				position := b.funded("a")
				test.do(b, position)
				found := b.verify()
				want := strings.ReplaceAll(test.want, "POSITION", position)
				if found.Passed || found.DifferenceCount != 1 || !strings.HasPrefix(found.Differences[0], want) {
					b.t.Errorf("found %d differences %q, want %q", found.DifferenceCount, found.Differences, want)
				}
			})
		})
	}
}
