package escrow_test

import (
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// What a holder's positions are together is what their steps have moved, also of those that were
// erased, and of a currency in which nothing has moved yet.
func TestAHoldersTotalsAreWhatTheStepsHaveMoved(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset, yen := d.escrow(), d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"JPY"}`))
	d.position(yen, "7", "JPY")
	d.personal(asset)
	d.accept(erasure(d.personal(asset), ""))
	for _, state := range []escrow.State{escrow.StatePartiallyReleased, escrow.StateCancelled} {
		d.in(state)
	}

	var totals escrow.HolderTotals
	for _, p := range d.books.Positions.Created() {
		totals.Add(p)
	}
	var moved escrow.Balances
	for _, entry := range d.books.Entries {
		if err := moved.AddBody(entry.Kind, entry.Body); err != nil {
			t.Fatal(err)
		}
	}
	if totals.Positions != 5 {
		t.Errorf("there are %d positions, want 5", totals.Positions)
	}
	for _, currency := range moved.Currencies() {
		for _, account := range escrow.Accounts() {
			if got, want := totals.Balances.Of(currency, account), moved.Of(currency, account); got.Cmp(want) != 0 || currency != usd {
				t.Errorf("%s has %s %s, want %s", account, got, currency, want)
			}
		}
	}
	if got := totals.Balances.Currencies(); len(got) != 2 || got[0] != jpy || totals.Balances.Of(jpy, escrow.AccountEscrow).Sign() != 0 {
		t.Errorf("the currencies are %v", got)
	}
}
