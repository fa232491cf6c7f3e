package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const policyColumns = "institution_id, region, min_amount, max_amount, allowed_currencies, created_at, updated_at"

var policyTable = newTable("policies", 2,
	[]string{
		"institution_id uuid", "region text", "~min_amount text", "~max_amount text", "~allowed_currencies text",
		"created_at timestamptz", "~updated_at timestamptz",
	},
	func(p *escrow.Policy, to columns) error {
		to.id(p.InstitutionID)
		to.text(string(p.Region))
		to.optionalText(optionalDecimal(p.MinAmount))
		to.optionalText(optionalDecimal(p.MaxAmount))
		currencies, err := jsonArray(p.AllowedCurrencies)
		to.text(currencies)
		to.time(p.CreatedAt)
		to.time(p.UpdatedAt)
		return err
	})

func scanPolicy(r row, p *escrow.Policy) error {
	var low, high *string
	var currencies string
	err := r.Scan((*[16]byte)(&p.InstitutionID), (*string)(&p.Region), &low, &high, &currencies, &p.CreatedAt, &p.UpdatedAt)
	if err != nil {
		return err
	}
	var lowErr, highErr error
	p.MinAmount, lowErr = parseOptionalDecimal(low)
	p.MaxAmount, highErr = parseOptionalDecimal(high)
	err = errors.Join(lowErr, highErr, json.Unmarshal([]byte(currencies), &p.AllowedCurrencies))
	if len(p.AllowedCurrencies) == 0 {
		// No rule is nil, as it is where the policy was set.
		p.AllowedCurrencies = nil
	}
	return err
}

// Policies returns all policies of an institution, at most one a region.
func (s *Store) Policies(ctx context.Context, institution escrow.InstitutionID) ([]escrow.Policy, error) {
	return all(ctx, s, "SELECT "+policyColumns+" FROM policies WHERE institution_id = $1 ORDER BY region",
		[]any{idArg(institution)}, scanPolicy)
}
