package store_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// An institution without rules reads nothing of them, nor of approvals.
func TestWithoutRulesNothingIsReadOfThem(t *testing.T) {
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "e.db"))
	e := w.Example()
	positions := w.Positions(e, 10)
	for range 3 {
		pending, err := w.PendingOn(t.Context(), e.Institution, []string{positions[0].String()})
		if len(pending) > 0 || err != nil {
			t.Errorf("there is pending %v, %v", pending, err)
		}
	}
	for _, sql := range store.StatementsOf(w.Store) {
		if strings.Contains(sql, "approval_") || strings.Contains(sql, "approvals AS") || strings.Contains(sql, "FROM approvals") || strings.Contains(sql, "recent_moves") {
			t.Errorf("this was run:\n%s", sql)
		}
	}
}

// Commands that meet no rule are decided on what is remembered, as commands without rules are.
func TestRulesThatAreNotMetCostNoRoundTrip(t *testing.T) {
	for name, when := range map[string]escrow.RuleConditionsInput{
		"by amount": {AmountFrom: map[string]money.Digits{"USD": "100000000"}},
		"by what was moved of late": {
			AmountFrom: map[string]money.Digits{"USD": "100000000"}, Window: new("24h"),
		},
		"by asset": {AssetID: new("another")},
	} {
		t.Run(name, func(t *testing.T) {
			w := journaltest.Open(t, pgtest.Shared(t).NewDatabase(t))
			e := w.Example()
			of := e.Institution
			id := w.Positions(e, 1)[0]
			key := escrow.KeyInput{Label: "c", Role: "approver"}
			w.Do(of, journaltest.Valid(escrow.NewCreateKey(key, escrow.HashSecret("c"))))
			if when.AssetID != nil {
				when.AssetID = new(w.Asset(of, "EUR").String())
			}
			rule := escrow.ApprovalRuleInput{ID: "r", On: []string{"positions.release"}, When: when, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}}}
			w.Ask(of, escrow.ActorRoot(), journaltest.Valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{rule}, nil)))

			release := func() (rounds, locked int) {
				in := escrow.TransitionInput{ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("1"))}
				r := escrow.Request{Institution: of, Actor: escrow.ActorRoot(), RequestID: "r", Hint: escrow.RulesHint{Rules: true, Windows: true, Pending: true}, Command: journaltest.Valid(escrow.NewTransitionPosition(id, in, nil))}
				for {
					tx := journaltest.Must(w.Begin(t.Context(), needs{of: r.Needs()}))
					rounds++
					if !store.IsOptimistic(tx) {
						locked++
					}
					outcome := journaltest.Must(tx.Books(of).Execute(r, escrow.Stamp{Now: time.Now(), Random: [2]uint64{uint64(time.Now().UnixNano()), 1}, Secret: escrow.Secret{1}}))
					if outcome.Lacks != nil {
						tx.Rollback(t.Context())
						r = r.With(*outcome.Lacks)
						continue
					}
					if _, moved := outcome.Resource.(escrow.Position); !moved {
						t.Fatalf("the outcome is %+v", outcome)
					}
					if err := tx.Commit(t.Context()); err != nil {
						t.Fatal(err)
					}
					return rounds, locked
				}
			}
			for range 6 { // The first few find out that nobody else writes.
				release()
			}
			for range 5 {
				rounds, locked := release()
				if most := map[bool]int{true: 2, false: 1}[when.AssetID != nil]; rounds > most || locked > 0 {
					t.Errorf("a command takes %d rounds, %d of them with the lock", rounds, locked)
				}
			}
		})
	}
}
