package loadtest

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// cleanUp cleans up after a run on the bank's institution, of which so much was found.
func (b *bank) cleanUp(ctx context.Context, found Correctness) (*Cleanup, error) {
	run := k6Run{server: b.Server, tenants: []testbed.Tenant{b.Tenant}}
	return (&test{config: Config{Progress: b.t.Output()}}).cleanUp(ctx, run, found)
}

// left tells what the institution still has: whether it is open, and its positions.
func (b *bank) left() (open bool, positions []leftPosition) {
	b.t.Helper()
	var institution struct{ ClosedAt string }
	var page struct{ Data []leftPosition }
	for path, into := range map[string]any{
		"/institutions/" + b.InstitutionID: &institution, "/positions?institutionId=" + b.InstitutionID: &page,
	} {
		if err := b.Call(b.t.Context(), b.RootKey, http.MethodGet, path, nil, into); err != nil {
			b.t.Fatal(err)
		}
	}
	return institution.ClosedAt == "", page.Data
}

type leftPosition struct {
	State, Held, HolderReference string
	Erased                       bool
}

func TestARunLeavesNothingOnItsTarget(t *testing.T) {
	eachStore(t, func(b *bank) {
		// More than one request cancels.
		items := make([]map[string]any, cancelledAtOnce+1)
		for i := range items {
			items[i] = map[string]any{"assetId": b.AssetID, "holderReference": "LOAD_TEST", "currency": "USD", "amount": 5}
		}
		b.send("many", "/positions/batch", map[string]any{"items": items})
		for range 3 {
			b.funded("a")
		}
		b.transition("ended", b.create("to end"), "CANCELLED")
		b.askCheckers()
		waits := b.funded("b")
		b.transition("nobody approves", waits, "RELEASED")

		got, err := b.cleanUp(b.t.Context(), Correctness{Journals: 1})
		if err != nil || got.Cancelled != cancelledAtOnce+5 || got.Erased != cancelledAtOnce+6 || got.Closed != 1 || got.Left+got.Retained != "" {
			b.t.Errorf("cleaned up: %+v, %v", got, err)
		}
		open, positions := b.left()
		for _, p := range positions {
			if p.State != "CANCELLED" || p.Held != "0.00" || !p.Erased || p.HolderReference != "" {
				b.t.Fatalf("what is left is %+v", p)
			}
		}
		if open || len(positions) != cancelledAtOnce+6 {
			b.t.Errorf("the institution is open: %v, with %d positions", open, len(positions))
		}

		// To do it again finds nothing to do.
		if again, err := b.cleanUp(b.t.Context(), Correctness{Journals: 1}); err != nil || again.Cancelled+again.Erased != 0 {
			b.t.Errorf("cleaned up again: %+v, %v", again, err)
		}
	})
}

// What is to be looked into is left, and what cannot be done is told.
func TestATargetThatIsNotCleanedUp(t *testing.T) {
	eachStore(t, func(b *bank) {
		b.funded("a")
		for why, found := range map[string]Correctness{
			"left as it is: its entries differ from what was acknowledged": {Journals: 1, DifferenceCount: 1},
			"left as it is: its results could not be read back":            {NotEstablished: "away"},
		} {
			got, err := b.cleanUp(b.t.Context(), found)
			open, positions := b.left()
			if err != nil || got.String() != why || !open || positions[0].State != "FUNDED" || positions[0].Erased {
				b.t.Errorf("it says %q, %v and leaves %v, %+v", got, err, open, positions)
			}
		}

		interrupted, cancel := context.WithCancel(b.t.Context())
		cancel()
		_, err := b.cleanUp(interrupted, Correctness{Journals: 1})
		if err == nil || err.Error() != "the institution "+b.InstitutionID+" is not cleaned up: the test was interrupted" {
			b.t.Errorf("interrupted, it says %v", err)
		}
		if err := b.RevokeKeys(b.t.Context(), []testbed.Tenant{b.Tenant}); err != nil {
			b.t.Fatal(err)
		}
		got, err := b.cleanUp(b.t.Context(), Correctness{Journals: 1})
		if err == nil || !strings.Contains(err.Error(), "is not cleaned up: GET /positions") || got.Closed != 0 {
			b.t.Errorf("without a key it says %+v, %v", got, err)
		}
	})
}

func TestATargetRetainsTheDataOfATest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "escrowgrid.db")
	b := openBank(t, "sqlite:"+path, "sqlite3", "file:"+path, 48*time.Hour)
	b.funded("a")
	got, err := b.cleanUp(t.Context(), Correctness{Journals: 1})
	open, positions := b.left()
	if err != nil || got.Erased != 0 || got.Closed != 1 || open || positions[0].State != "CANCELLED" || positions[0].Erased {
		t.Errorf("cleaned up: %+v, %v; it leaves %v, %+v", got, err, open, positions)
	}
	if says := got.String(); !strings.Contains(says, "; the target retains data: The position was last changed at ") {
		t.Errorf("it says %q", says)
	}
}
