package journallog_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// position creates a position of 1000 and moves it through states.
func (w *writer) position(
	institution escrow.InstitutionID, asset escrow.AssetID, currency string, states ...escrow.State,
) escrow.PositionID {
	w.t.Helper()
	made := journaltest.Made[escrow.Position](w.Do(institution, valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID:         asset.String(),
		HolderReference: "ACME-4711",
		Currency:        currency,
		Amount:          "1000",
	}))))
	w.transition(institution, made.ID, states...)
	return made.ID
}

// transition moves a position through states; a partial release is of 10.
func (w *writer) transition(institution escrow.InstitutionID, position escrow.PositionID, states ...escrow.State) {
	w.t.Helper()
	for _, state := range states {
		step := escrow.TransitionInput{ToState: string(state)}
		if state == escrow.StatePartiallyReleased {
			step.Amount = new(money.Digits("10"))
		}
		w.Do(institution, valid(escrow.NewTransitionPosition(position, step, nil)))
	}
}

// busy creates an institution whose journal moves money in two currencies, with a signed
// checkpoint between them and with entries that move nothing.
func (w *writer) busy(l started) escrow.InstitutionID {
	w.t.Helper()
	institution := w.Institution()
	dollars, yen := w.Asset(institution, "USD"), w.Asset(institution, "JPY")
	w.position(institution, dollars, "USD", "FUNDED", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "CANCELLED")

	l.round(w.t)

	w.Policies(institution, 3)
	w.position(institution, yen, "JPY", "FUNDED", "RELEASED")
	w.position(institution, yen, "JPY", "CANCELLED")
	w.position(institution, dollars, "USD", "FUNDED")
	return institution
}

// shown is a statement in a form that can be compared. Movements are given by their
// sequences.
type shown struct {
	Opening, Closing string
	Movements        []int64
	Sequence         int64
}

func show(s journallog.Statement) shown {
	result := shown{
		Opening:  string(must(json.Marshal(&s.Opening))),
		Closing:  string(must(json.Marshal(&s.Closing))),
		Sequence: s.Sequence,
	}
	for _, m := range s.Movements {
		result.Movements = append(result.Movements, m.Sequence)
	}
	return result
}

// expected computes the statement of entries[first:end] from all entries before end.
func expected(entries []store.StoredEntry, first, end int) shown {
	var sums escrow.Balances
	s := shown{Opening: "{}", Closing: "{}", Sequence: int64(end)}
	for i, entry := range entries[:end] {
		before := string(must(json.Marshal(&sums)))
		if i == first {
			s.Opening = before
		}
		if err := sums.AddBody(entry.Kind, entry.Body); err != nil {
			panic(err)
		}
		s.Closing = string(must(json.Marshal(&sums)))
		if i >= first && s.Closing != before {
			s.Movements = append(s.Movements, entry.Sequence)
		}
	}
	if first >= end {
		s.Opening = s.Closing
	}
	return s
}

func TestAStatementIsOfItsPeriod(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		l := start(t, w.Store, nil)
		institution := w.busy(l)
		entries := must(w.StoredEntries(t.Context(), institution, 1, math.MaxInt64))

		check := func(first, end int, from, to *time.Time) {
			t.Helper()
			got := must(l.Statement(t.Context(), institution, escrow.Period{From: from, To: to}, escrow.MaxMovements))
			if diff := cmp.Diff(expected(entries, first, end), show(got)); diff != "" {
				t.Errorf("from %v to %v: wanted (-) and given (+):\n%s", from, to, diff)
			}
			if got.ContinuesAt != nil || to != nil && !got.To.Equal(*to) {
				t.Errorf("from %v to %v it ends at %v and continues at %v", from, to, got.To, got.ContinuesAt)
			}
		}

		// The beginning of a period is within it, and its end is not.
		for end := range entries {
			check(0, end, nil, &entries[end].At)
			check(end, len(entries), &entries[end].At, nil)
			check(end+1, len(entries), new(entries[end].At.Add(time.Microsecond)), nil)
			for first := range end {
				check(first, end, &entries[first].At, &entries[end].At)
				check(first, end+1, &entries[first].At, new(entries[end].At.Add(time.Microsecond)))
			}
		}

		check(0, len(entries), nil, nil)
		check(0, 0, new(entries[0].At.Add(-time.Hour)), new(entries[0].At.Add(-time.Minute)))
		check(len(entries), len(entries), new(entries[len(entries)-1].At.Add(time.Hour)), nil)

		_, err := l.Statement(t.Context(), escrow.InstitutionID{1}, escrow.Period{}, 1)
		if escrow.ErrorCode(err) != escrow.CodeInstitutionNotFound {
			t.Errorf("the statement of an unknown institution is %v", err)
		}
	})
}

func TestAStatementIsFinalOnceNoFurtherEntryCanComeIntoIt(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		l := start(t, w.Store, nil)
		institution := w.busy(l)
		head, _, err := w.Head(t.Context(), institution)
		if err != nil {
			t.Fatal(err)
		}

		after := func(d time.Duration) *time.Time { return new(head.At.Add(d)) }
		for _, test := range []struct {
			behaviour string
			period    escrow.Period
			final     bool
		}{
			{"up to the last entry", escrow.Period{To: after(0)}, true},
			{"right after the last entry, where the next one comes", escrow.Period{To: after(time.Microsecond)}, true},
			{"with room for another", escrow.Period{To: after(2 * time.Microsecond)}, false},
			{"without an end", escrow.Period{}, true},
			{"without an end, from a time to come", escrow.Period{From: after(time.Hour)}, false},
		} {
			if got := must(l.Statement(t.Context(), institution, test.period, 1000)); got.Final != test.final {
				t.Errorf("%s: final is %t", test.behaviour, got.Final)
			}
		}

		// A statement without an end says where the next one begins.
		first := must(l.Statement(t.Context(), institution, escrow.Period{}, 1000))
		w.Policies(institution, 1)
		w.position(institution, w.Asset(institution, "KWD"), "KWD", "FUNDED")
		next := must(l.Statement(t.Context(), institution, escrow.Period{From: &first.To}, 1000))
		if show(next).Opening != show(first).Closing || len(next.Movements) != 1 {
			t.Errorf("after %+v comes %+v", show(first), show(next))
		}

		again := must(l.Statement(t.Context(), institution, escrow.Period{To: &first.To}, 1000))
		if diff := cmp.Diff(show(first), show(again)); diff != "" {
			t.Errorf("what was final has changed:\n%s", diff)
		}
	})
}

// walk reads a statement of the whole journal and those that continue it.
func (l started) walk(t *testing.T, institution escrow.InstitutionID, limit int) (statements []journallog.Statement) {
	t.Helper()
	for from := new(time.Time); from != nil; {
		s := must(l.Statement(t.Context(), institution, escrow.Period{From: from}, limit))
		if statements = append(statements, s); len(statements) > 100 {
			t.Fatal("the statements have no end")
		}
		if from = s.ContinuesAt; from != nil && (!s.Final || !s.To.Equal(*from)) {
			t.Errorf("a statement that continues at %v ends at %v, final %t", from, s.To, s.Final)
		}
	}
	return statements
}

func TestAStatementContinues(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		l := start(t, w.Store, nil)
		institution := w.busy(l)
		whole := show(must(l.Statement(t.Context(), institution, escrow.Period{}, escrow.MaxMovements)))

		for limit := 1; limit <= len(whole.Movements)+1; limit++ {
			closing, movements := "{}", []int64(nil)
			statements := l.walk(t, institution, limit)
			for _, statement := range statements {
				got := show(statement)
				if got.Opening != closing || len(got.Movements) > limit {
					t.Errorf("with %d movements at most %+v follows what closed with %s", limit, got, closing)
				}
				closing, movements = got.Closing, append(movements, got.Movements...)
			}

			if closing != whole.Closing || !cmp.Equal(movements, whole.Movements) {
				t.Errorf("with %d movements at most they close with %s after %v, the whole is %+v",
					limit, closing, movements, whole)
			}
			if want := (len(whole.Movements) + limit - 1) / limit; len(statements) != want {
				t.Errorf("with %d movements at most there are %d statements of %d movements",
					limit, len(statements), len(whole.Movements))
			}
		}
	})
}

// A statement reads a bounded number of entries, those that move nothing included.
func TestAStatementReadsABoundedNumberOfEntries(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		l := start(t, w.Store, nil)
		institution := w.Institution()
		asset := w.Asset(institution, "USD")
		position := w.position(institution, asset, "USD", "FUNDED")
		w.Policies(institution, 50_000)
		w.transition(institution, position, "RELEASED")

		statements := l.walk(t, institution, 1000)
		if len(statements) != 2 || statements[0].Sequence != 50_000 ||
			len(statements[0].Movements) != 1 || len(statements[1].Movements) != 1 {
			t.Fatalf("a journal of 50 006 entries has %d statements, the first up to %d",
				len(statements), statements[0].Sequence)
		}
		if show(statements[1]).Opening != show(statements[0]).Closing {
			t.Errorf("%+v is followed by %+v", show(statements[0]), show(statements[1]))
		}
	})
}

func TestTheCheckpointThatAStatementRestsOn(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		l := start(t, w.Store, nil)
		institution := w.Institution()

		covering := func(sequence int64) int64 {
			checkpoint, found, err := l.CoveringCheckpoint(t.Context(), institution, sequence)
			if err != nil || found != (checkpoint.Size > 0) {
				t.Errorf("entry %d is covered by %+v, %t, %v", sequence, checkpoint, found, err)
			}
			return checkpoint.Size
		}

		if got := covering(1); got != 0 {
			t.Errorf("before any is signed there is a checkpoint of %d", got)
		}
		for range 2 {
			w.Policies(institution, 2)
			l.round(t)
		}

		var sizes []int64
		for sequence := range int64(7) {
			sizes = append(sizes, covering(sequence))
		}
		if want := []int64{3, 3, 3, 3, 5, 5, 0}; !cmp.Equal(sizes, want) {
			t.Errorf("the entries from 0 on are covered by checkpoints of %v, want %v", sizes, want)
		}
	})
}

// valid returns a command whose input a test knows to be valid.
func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}
