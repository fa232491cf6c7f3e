package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// moneyOfHolder reads the money of all positions of a holder. The database does not add it up:
// the sum of many may be more than it can hold.
const moneyOfHolder = `SELECT currency, decimals, funded, released, refunded FROM positions
		WHERE institution_id = $1 AND holder_reference = $2`

// HolderTotals returns what all positions of a holder in an institution are together.
func (s *Store) HolderTotals(
	ctx context.Context, institution escrow.InstitutionID, holder string,
) (totals escrow.HolderTotals, err error) {
	err = s.database.list(ctx, moneyOfHolder, []any{idArg(institution), holder}, func(r row) error {
		var p escrow.Position
		var decimals, funded, released, refunded int64
		if err := r.Scan((*string)(&p.Currency.Code), &decimals, &funded, &released, &refunded); err != nil {
			return err
		}
		p.Currency.Decimals = int(decimals)
		p.Funded, p.Released, p.Refunded = money.Amount(funded), money.Amount(released), money.Amount(refunded)
		totals.Add(p)
		return nil
	})
	return totals, Failure(err)
}
