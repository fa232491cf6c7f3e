package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// balancesView is a trial balance: by double entry, what the accounts have sums to zero.
type balancesView struct {
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Sequence      int64                `json:"sequence" doc:"Of the last entry that is in the balances."`
	Balances      []balanceView        `json:"balances" nullable:"false" doc:"One of each currency, in order of code."`
}

// balanceView is what the four accounts of a currency have.
type balanceView struct {
	Currency    money.Code `json:"currency"`
	Holder      string     `json:"holder" doc:"What holders have paid in, as a negative amount." example:"-1000.00"`
	Escrow      string     `json:"escrow" doc:"What is held." example:"750.00"`
	Beneficiary string     `json:"beneficiary" doc:"What was released." example:"250.00"`
	Refund      string     `json:"refund" doc:"What went back." example:"0.00"`
	Total       string     `json:"total" doc:"The sum of the four: zero." example:"0.00"`
}

// viewBalances shows balances in some currencies. A statement shows those of its end at its
// beginning, too, so that a reader can compare them line by line.
func viewBalances(balances *escrow.Balances, currencies []money.Currency) []balanceView {
	views := make([]balanceView, len(currencies))
	for i, currency := range currencies {
		balance := func(a escrow.Account) string { return money.FormatSum(balances.Of(currency, a), currency.Decimals) }
		views[i] = balanceView{
			Currency:    currency.Code,
			Holder:      balance(escrow.AccountHolder),
			Escrow:      balance(escrow.AccountEscrow),
			Beneficiary: balance(escrow.AccountBeneficiary),
			Refund:      balance(escrow.AccountRefund),
			Total:       money.FormatSum(balances.Total(currency), currency.Decimals),
		}
	}
	return views
}

var getBalancesOperation = operation{
	Operation: web.Operation{
		ID: "getBalances", Tag: "Journal", Summary: "Get the trial balance",
		Answer: balancesView{},
	},
}

// getBalances answers the trial balance of an institution: of each currency, what every
// account has. It begins with the balances that are signed with the latest checkpoint and
// adds the entries since then, so its cost does not grow with the journal.
func (s *server) getBalances(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	balances, sequence, err := s.config.TransparencyLog.Balances(c.context(), institution)
	return ok(balancesView{
		InstitutionID: institution,
		Sequence:      sequence,
		Balances:      viewBalances(&balances, balances.Currencies()),
	}), err
}
