package prototype

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// reportLedger reports on the prototype's ledger: a second record of what positions and their
// events tell. What stands in it alone is left out.
func (t *tenant) reportLedger(ctx context.Context, positions []*position) error {
	told := make(map[[3]string]bool)
	isLeftOut := make(map[string]bool)
	for _, p := range positions {
		isLeftOut[p.ID] = p.isLeftOut
		told[[3]string{p.ID, "", string(escrow.StateCreated)}] = true
		for _, event := range p.events {
			told[[3]string{p.ID, valueOf(event.FromState), event.ToState}] = true
		}
	}

	ledger, err := t.from.ledger(ctx, slices.Collect(maps.Keys(isLeftOut)))
	if err != nil {
		return err
	}
	for _, row := range ledger {
		from, to := valueOf(row.PreviousState), valueOf(row.State)
		line := Line{
			Kind: LedgerEvents, ID: row.ID, Outcome: Replaced, Code: "journal",
			Message: "the entries of the position and its events are the ledger",
		}
		switch {
		case isLeftOut[row.PositionID]:
			line = missing(LedgerEvents, row.ID, Positions, row.PositionID)
		case !told[[3]string{row.PositionID, from, to}]:
			line = leftOut(LedgerEvents, row.ID, "ledger_alone", fmt.Sprintf(
				"no event of %s says that it went from %q to %q", row.PositionID, from, to))
		}
		if err := t.report(line); err != nil {
			return err
		}
	}
	return nil
}

func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
