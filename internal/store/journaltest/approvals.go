package journaltest

import (
	"fmt"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Approved is what Approvals has left.
type Approved struct {
	Maker, Checker escrow.Actor
	// Created and Released are approvals that were executed, Failed and Rejected ones that were not, and Pending one
	// that waits.
	Created, Released, Failed, Rejected, Pending escrow.ApprovalID
	// Position was created and released with approvals. It belongs to Ada Lovelace.
	Position escrow.PositionID
}

// Ask commits a command of somebody on the books of an institution, with all that it turns out to need, and returns
// what it made.
func (w *Writer) Ask(of escrow.InstitutionID, actor escrow.Actor, command escrow.Command) escrow.Resource {
	w.tb.Helper()
	return w.AskAt(time.Now(), of, actor, command)
}

// AskAt is Ask at a time.
func (w *Writer) AskAt(
	now time.Time, of escrow.InstitutionID, actor escrow.Actor, command escrow.Command,
) escrow.Resource {
	w.tb.Helper()
	r := escrow.Request{Institution: of, Actor: actor, RequestID: "test", Command: command}
	for range 2 * escrow.MaxAttempts {
		tx := Must(w.Begin(w.tb.Context(), map[escrow.InstitutionID]escrow.Needs{of: r.Needs()}))
		w.count += 2
		outcome, err := tx.Books(of).Execute(r, escrow.Stamp{
			Now: now, Random: [2]uint64{w.count, w.count + 1}, Secret: escrow.Secret{1}.OfItem(int(w.count)),
		})
		if err != nil || outcome.Refusal != nil {
			tx.Rollback(w.tb.Context())
			w.tb.Fatal(fmt.Sprintf("%T", command), err, outcome.Refusal)
		}
		if outcome.Lacks != nil {
			tx.Rollback(w.tb.Context())
			r = r.With(*outcome.Lacks)
			continue
		}
		if err := tx.Commit(w.tb.Context()); err != nil {
			w.tb.Fatal(err)
		}
		return outcome.Resource
	}
	w.tb.Fatalf("%T never has all that it needs", command)
	return nil
}

// Approvals makes a maker and a checker, has the checker approve the creation and the release of a position, and
// reject another one, closes the asset of a third one, so that it fails, withdraws one, and leaves one that is
// pending, under a rule that adds up what is moved: 22 entries.
func (w *Writer) Approvals(e Example) (a Approved) {
	w.tb.Helper()
	of := e.Institution
	key := func(role string) escrow.Actor {
		in := escrow.KeyInput{Label: role, Role: role, Owner: new(role + "@example.com")}
		made := w.Ask(of, escrow.ActorRoot(), Valid(escrow.NewCreateKey(in, escrow.HashSecret(role+of.String()))))
		return escrow.ActorKey(Made[escrow.APIKey]([]escrow.Resource{made}).ID)
	}
	a.Maker, a.Checker = key("maker"), key("approver")
	closed := w.Asset(of, "EUR")
	w.Ask(of, escrow.ActorRoot(), Valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{
		{ID: "new", On: []string{"positions.create"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}}},
		{
			ID: "much", On: []string{"positions.release"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}},
			When: escrow.RuleConditionsInput{AmountFrom: map[string]money.Digits{"USD": "50"}, Window: new("24h")},
		},
		{ID: "people", On: []string{"identity_provider.set"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}}},
	}, nil)))

	approve := func(asked escrow.Approval) escrow.Approval {
		comment := "as Ada asked"
		digest := Must(asked.Asked()).Digest.String()
		decided := w.Ask(of, a.Checker, Valid(escrow.NewApproveApproval(asked.ID, digest, &comment)))
		return Made[escrow.Approval]([]escrow.Resource{decided})
	}
	ask := func(command escrow.Command) escrow.Approval {
		return Made[escrow.Approval]([]escrow.Resource{w.Ask(of, a.Maker, command)})
	}
	createOn := func(asset escrow.AssetID, currency, holder string) escrow.Command {
		return Valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: asset.String(), HolderReference: holder, Currency: currency, Amount: "900000", ExternalReference: new("of " + holder),
		}))
	}
	create := func(holder string) escrow.Command { return createOn(e.Asset, "USD", holder) }
	move := func(to string, amount money.Digits) escrow.Command {
		in := escrow.TransitionInput{ToState: to, Reason: new("as Ada asked")}
		if amount != "" {
			in.Amount = &amount
		}
		return Valid(escrow.NewTransitionPosition(a.Position, in, nil))
	}

	a.Created = approve(ask(create("Ada Lovelace"))).ID
	adas := escrow.PositionFilter{HolderReference: "Ada Lovelace"}
	a.Position = Must(w.Store.Positions(w.tb.Context(), of, adas, escrow.PageRequest{Limit: 1})).Items[0].ID
	w.Ask(of, a.Maker, move("FUNDED", ""))
	w.Ask(of, a.Maker, move("PARTIALLY_RELEASED", "20"))
	a.Released = approve(ask(move("RELEASED", ""))).ID
	failing := ask(createOn(closed, "EUR", "Grace Hopper"))
	w.Ask(of, escrow.ActorRoot(), escrow.CloseAsset{Asset: closed})
	a.Failed = approve(failing).ID
	a.Rejected = ask(create("Grace Hopper")).ID
	w.Ask(of, a.Checker, Valid(escrow.NewRejectApproval(a.Rejected, "as Grace asked")))
	w.Ask(of, a.Maker, escrow.WithdrawApproval{Approval: ask(create("Alan Turing")).ID})
	a.Pending = ask(create("Grace Hopper")).ID
	return a
}
