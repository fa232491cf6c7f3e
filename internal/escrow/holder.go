package escrow

import "github.com/escrowgrid/escrowgrid/internal/money"

// HolderTotals is what all positions of a holder are together.
type HolderTotals struct {
	Positions int64
	Balances  Balances
}

// Add counts a position, and adds what its steps have moved. No more is looked at than its
// currency, and what was funded, released and refunded.
func (t *HolderTotals) Add(p Position) {
	t.Positions++
	t.Balances.in(p.Currency) // It is there where nothing has moved yet, too.
	for _, moved := range []struct {
		debit, credit Account
		amount        money.Amount
	}{
		{AccountHolder, AccountEscrow, p.Funded},
		{AccountEscrow, AccountBeneficiary, p.Released},
		{AccountEscrow, AccountRefund, p.Refunded},
	} {
		t.Balances.Add(Posting{Debit: moved.debit, Credit: moved.credit, Currency: p.Currency, Amount: moved.amount})
	}
}
