package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// An erasure of a holder goes through what was asked for and never made, on whichever server, and the other server
// does not remember what was erased.
func TestAnErasureOfAHolderTakesWhatWasNeverMade(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 1, "positions.create")
		ask := func(holder string) escrow.Approval {
			return accept[escrow.Approval](servers[0], by(o.maker, createPosition(o.asset, holder, "10")))
		}
		reject := func(a escrow.Approval) escrow.Approval {
			return accept[escrow.Approval](servers[1], by(o.checkers[0], valid(escrow.NewRejectApproval(a.ID, "not Ada"))))
		}
		// More than are read together, and others between them.
		const rejected = 103
		var last escrow.Approval
		for range rejected {
			last = reject(ask("Ada"))
		}
		withdrawn, other, waiting := ask("Ada"), reject(ask("Grace")), ask("Ada")
		accept[escrow.Approval](servers[0], by(o.maker, escrow.WithdrawApproval{Approval: withdrawn.ID}))
		made := accept[escrow.Approval](servers[0], o.approval(0, ask("Ada")))

		servers[0].clock.advance(time.Minute) // Entries are later than a clock that stands still.
		erase := func(s *server, holder string, retention time.Duration, dryRun bool) escrow.Erasure {
			t.Helper()
			asked := engine.HolderErasure{Request: root(o.of, nil), HolderReference: holder, Retention: retention, DryRun: dryRun}
			return resource[escrow.Erasure](must(s.EraseHolder(t.Context(), asked)))
		}
		want := func(what string, got, want escrow.Erasure) {
			t.Helper()
			ignored := cmpopts.IgnoreFields(escrow.Erasure{}, "ID", "InstitutionID", "CreatedAt", "RetainedUntil")
			if diff := cmp.Diff(want, got, ignored); diff != "" {
				t.Errorf("%s: wanted (-) and got (+):\n%s", what, diff)
			}
		}
		all := escrow.Erasure{Open: 1, ApprovalsErased: rejected + 1, ApprovalsPending: 1, Complete: true}
		entries := len(servers[0].journal(o.of, escrow.EntryFilter{}))
		want("a dry run", erase(servers[0], "Ada", 0, true), all)
		kept := erase(servers[1], "Ada", time.Hour, false)
		want("within the retention", kept, escrow.Erasure{Open: 1, ApprovalsPending: 1, ApprovalsRetained: rejected + 1, Complete: true})
		if latest := must(servers[0].Approval(t.Context(), o.of, withdrawn.ID)).UpdatedAt.Add(time.Hour); kept.RetainedUntil == nil || !kept.RetainedUntil.Equal(latest) {
			t.Errorf("they are retained until %v, want %s", kept.RetainedUntil, latest)
		}
		if now := len(servers[0].journal(o.of, escrow.EntryFilter{})); now != entries+1 {
			t.Errorf("%d entries became %d", entries, now)
		}
		want("an erasure", erase(servers[0], "Ada", 0, false), all)
		want("another", erase(servers[1], "Ada", 0, false), escrow.Erasure{Open: 1, ApprovalsPending: 1, Complete: true})

		for _, s := range servers {
			for id, erased := range map[escrow.ApprovalID]bool{last.ID: true, withdrawn.ID: true, other.ID: false, waiting.ID: false, made.ID: false} {
				a := must(s.Approval(t.Context(), o.of, id))
				if (a.Private == nil) != erased || (a.ErasedAt != nil) != erased {
					t.Errorf("the approval %s, of which %t should be erased, is %q, erased at %v", id, erased, a.Private, a.ErasedAt)
				}
			}
		}
		if told := must(servers[1].Erasures(t.Context(), o.of, escrow.PageRequest{Limit: 9})).Items; len(told) != 3 || told[1].ApprovalsErased != rejected+1 {
			t.Errorf("the erasures are %+v", told)
		}
	})
}
