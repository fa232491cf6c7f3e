package httpapi

import (
	"bytes"
	_ "embed" // for the page
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

//go:embed assets/statement.html.tmpl
var statementText string

var statementPage = newPage("statement", statementText)

// currencySection is the part of a page about one currency.
type currencySection struct {
	Currency                   money.Code
	Balances                   []balanceLine
	OpeningTotal, ClosingTotal string
	Movements                  []movementView
}

// shownStatement is a statement as its page shows it.
type shownStatement struct {
	statementDocument
	Institution escrow.Institution
	Sections    []currencySection
	IssuedAt    timestamp
	pageFormats
}

// balanceLine is a row of the table of balances.
type balanceLine struct {
	Account          escrow.Account
	Opening, Closing string
}

// page makes a page that needs no other file, with a section for each currency.
func (d statementDocument) page(
	institution escrow.Institution, zone *time.Location, now time.Time,
) ([]byte, error) {
	movements := make(map[money.Code][]movementView)
	for _, m := range d.Movements {
		movements[m.Currency] = append(movements[m.Currency], m)
	}

	sections := make([]currencySection, len(d.Closing))
	for i, closing := range d.Closing {
		opening := d.Opening[i]
		section := currencySection{
			Currency:     closing.Currency,
			OpeningTotal: opening.Total,
			ClosingTotal: closing.Total,
			Movements:    movements[closing.Currency],
		}
		// Opening and closing balances are of the same currencies, in the same order.
		after := closing.accounts()
		for j, before := range opening.accounts() {
			section.Balances = append(section.Balances, balanceLine{
				Account: before.account,
				Opening: before.balance,
				Closing: after[j].balance,
			})
		}
		sections[i] = section
	}

	var page bytes.Buffer
	err := statementPage.Execute(&page, shownStatement{
		statementDocument: d,
		Institution:       institution,
		Sections:          sections,
		IssuedAt:          timestamp(now),
		pageFormats:       pageFormats{zone},
	})
	return page.Bytes(), err
}
