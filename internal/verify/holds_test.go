package verify_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// Whoever has the database can take a hold from its position, or lift it in silence. Each is found.
func TestTamperingWithHoldsIsFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		position, holds := f.Writer.Holds(f.Example)
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Fatalf("as it is, the differences are %v", report.Differences)
		}

		const ofHold = " WHERE institution_id = $1 AND id = $2"
		for name, test := range map[string]struct {
			change, restore string
			args            []any
			want            string
		}{
			"a hold that is lifted in silence": {
				"UPDATE holds SET lifted = placed + 1, lifted_at = created_at" + ofHold,
				"UPDATE holds SET lifted = 0, lifted_at = NULL" + ofHold,
				[]any{of, holds[1]},
				"holds " + holds[1].String() + ": there is lifted ",
			},
			"a hold that is in force again": {
				"UPDATE holds SET lifted = 0, lifted_at = NULL" + ofHold, "UPDATE holds SET (lifted, lifted_at) = (" +
					"SELECT sequence, at FROM journal_entries WHERE institution_id = $1 AND kind = 'HOLD_LIFTED')" + ofHold,
				[]any{of, holds[0]},
				"lifted 0, and should be ",
			},
			"a hold on less": {
				"UPDATE holds SET amount = amount + 1" + ofHold, "UPDATE holds SET amount = amount - 1" + ofHold,
				[]any{of, holds[2]},
				"amount 2, and should be 1",
			},
			"a hold of another kind": {
				"UPDATE holds SET kind = 'COMPLIANCE'" + ofHold, "UPDATE holds SET kind = 'LEGAL'" + ofHold,
				[]any{of, holds[1]},
				"kind COMPLIANCE, and should be LEGAL",
			},
			"a hold on another position": {
				"UPDATE holds SET position_id = institution_id" + ofHold, "UPDATE holds SET position_id = $3" + ofHold,
				[]any{of, holds[1], position},
				"holds " + holds[1].String() + ": there is nothing",
			},
			"a position under fewer holds": {
				"UPDATE positions SET holds = 1, whole_holds = 0" + ofHold, "UPDATE positions SET holds = 2, whole_holds = 1" + ofHold,
				[]any{of, position},
				"holds 1, and should be 2",
			},
		} {
			f.tamper(test.change, test.args[:strings.Count(test.change, "$3")+2]...)
			found := f.verify(nil)
			f.tamper(test.restore, test.args[:strings.Count(test.restore, "$3")+2]...)
			if !strings.Contains(fmt.Sprint(found.Differences), test.want) {
				t.Errorf("%s: the differences are %v, want %q", name, found.Differences, test.want)
			}
		}

		f.tamper("INSERT INTO holds (institution_id, id, position_id, kind, decimals, amount, placed, lifted, created_at) SELECT institution_id, $2, $3, 'LEGAL', 0, 0, 1, 0, created_at FROM holds"+
			" WHERE institution_id = $1 AND id = $4", of, escrow.HoldID{15: 1}, f.positions[7], holds[1])
		if found := fmt.Sprint(f.verify(nil).Differences); !strings.Contains(found, "1 rows that no entry made") {
			t.Errorf("a hold on a position that is under none: the differences are %v", found)
		}
	})
}

// A hold that is forged in the journal itself is taken for what it is by both programs.
func TestBothProgramsTakeEntriesOfHoldsForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	before, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	position, holds := w.Holds(example)
	release := escrow.TransitionInput{ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("999.99"))}
	w.Do(example.Institution, valid(escrow.NewLiftHold(position, holds[1], "Over")))
	w.Ask(example.Institution, escrow.ActorRoot(), valid(escrow.NewTransitionPosition(position, release, nil)))
	head, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), example.Institution, 1, head.Sequence))
	same := func(text string) string { return text }
	key, signer := newKey()

	// Of the entries that are made, the first two create and fund a position.
	const court, all, own, lifted, liftedAll, released = 3, 4, 5, 6, 7, 8
	for _, test := range []struct {
		name     string
		entry    int
		old, new string
		verified bool
	}{
		{"as it is", court, "", "", true},
		{"less on hold, which is lifted", court, `"amount":"400.00"`, `"amount":"399.00"`, false},
		{"more on hold than there is", court, `"amount":"400.00"`, `"amount":"1000.01"`, false},
		{"nothing on hold", court, `"amount":"400.00"`, `"amount":"0.00"`, false},
		{"other decimals", court, `"amount":"400.00"`, `"amount":"400.0"`, false},
		{"another currency", court, `"currency":"USD"`, `"currency":"EUR"`, false},
		{"another kind than is lifted", court, `"kind":"LEGAL"`, `"kind":"COMPLIANCE"`, false},
		{"a kind that is none", own, `"kind":"COMPLIANCE"`, `"kind":"OTHER"`, false},
		{"another kind", own, `"kind":"COMPLIANCE"`, `"kind":"LEGAL"`, true},
		{"a currency alone", all, `"kind":"LEGAL"`, `"kind":"LEGAL","currency":"USD"`, false},
		{"a time that is none", court, `"reviewAt":"2999`, `"reviewAt":"x999`, false},
		{"another hold", own, `"holdId":"hld_0`, `"holdId":"hld_1`, true},
		{"a hold that is none", own, `"holdId":"hld_0`, `"holdId":"pos_0`, false},
		{"more is lifted than was held", lifted, `"amount":"400.00"`, `"amount":"400.01"`, false},
		{"what is lifted is another", lifted, `"holdId":"hld_0`, `"holdId":"hld_1`, false},
		{"less than all is lifted", liftedAll, `"amount":"1000.00"`, `"amount":"999.99"`, false},
		{"what is on hold is released", released, `"amount":"999.99"`, `"amount":"999.995"`, false},
		{"a cent more on hold", own, `"amount":"0.01"`, `"amount":"0.02"`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := append([]store.StoredEntry{}, entries...)
			entry := &changed[before.Sequence+int64(test.entry)-1]
			body := string(entry.Body)
			entry.Body = []byte(strings.Replace(body, test.old, test.new, 1))
			if string(entry.Body) == body && test.old != "" {
				t.Fatalf("nothing is changed in %s", body)
			}
			path := signedBundle(t, key, example.Institution, changed, "escrowgrid.test/"+example.Institution.String(), same, same)
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}
}
