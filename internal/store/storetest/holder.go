package storetest

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// What a holder's positions have together may be more than a database's number holds.
func testHolderTotals(f *fixture) {
	const many, largest = 95, "1000000000000000"
	of := f.institution()
	asset := f.asset(of)
	create := func(holder, amount string) escrow.Command {
		return valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: money.Digits(amount),
		}))
	}
	created, steps := make([]escrow.Command, many), []escrow.Command{}
	for i := range created {
		created[i] = create("Ada", largest)
	}
	for _, p := range resource[escrow.Position](f.do(of, created...)) {
		steps = append(steps, transition(p.ID, escrow.StateFunded, ""), transition(p.ID, escrow.StateReleased, ""))
	}
	f.do(of, steps...)
	f.do(of, create("Ada", "100"), create("Eve", "7"))

	totals := must(f.HolderTotals(f.t.Context(), of, "Ada"))
	equal(f.t, "positions", many+1, totals.Positions)
	equal(f.t, "balances", `{"USD":{"BENEFICIARY":"95000000000000000.00","ESCROW":"0.00","HOLDER":"-95000000000000000.00","REFUND":"0.00"}}`,
		string(must(totals.Balances.MarshalJSON())))
	idle := must(f.HolderTotals(f.t.Context(), of, "Eve"))
	equal(f.t, "currencies of what nothing was done with", 1, len(idle.Balances.Currencies()))
	equal(f.t, "positions of nobody", escrow.HolderTotals{}, must(f.HolderTotals(f.t.Context(), of, "nobody")))
}
