package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var policyTable = newTable("policies", func(p *escrow.Policy) []column {
	return []column{
		key("institution_id", uuidColumn(&p.InstitutionID)),
		key("region", textColumn(&p.Region)),
		changing("min_amount", optionalDecimalColumn(&p.MinAmount)),
		changing("max_amount", optionalDecimalColumn(&p.MaxAmount)),
		changing("allowed_currencies", wordsColumn(&p.AllowedCurrencies)),
		fixed("created_at", timeColumn(&p.CreatedAt)),
		changing("updated_at", timeColumn(&p.UpdatedAt)),
	}
})

// A new position is checked against its region's policy, or against none where there is
// none: only the whole table tells which.
var policyRows = newRows(rowsOf[escrow.Region, escrow.Policy, escrow.Policy]{
	table:   policyTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.Region, escrow.Policy] { return &b.Policies },
	key:     func(p escrow.Policy) escrow.Region { return p.Region },
	pack:    asIs[escrow.Policy],
	unpack:  func(p escrow.Policy) (escrow.InstitutionID, escrow.Policy) { return p.InstitutionID, p },
	whole:   func(n *escrow.Needs) *bool { return &n.Policies },
	cached:  remembersAll[escrow.Policy],
	subject: func(p escrow.Policy) string { return escrow.PolicySubject(p.Region) },
})

// Policies returns all policies of an institution, at most one a region, in order of
// region.
func (s *Store) Policies(ctx context.Context, institution escrow.InstitutionID) ([]escrow.Policy, error) {
	return all(ctx, s.database, policyTable.byOwner+" ORDER BY region", []any{idArg(institution)}, policyTable.scan)
}

// Policy returns an institution's policy for a region, or CodePolicyNotFound. The region
// may be any text, also one that no database takes: it is looked for here.
func (s *Store) Policy(
	ctx context.Context, institution escrow.InstitutionID, region escrow.Region,
) (escrow.Policy, error) {
	policies, err := s.Policies(ctx, institution)
	if err != nil {
		return escrow.Policy{}, err
	}
	for _, policy := range policies {
		if policy.Region == region {
			return policy, nil
		}
	}
	return must(escrow.Policy{}, false, nil, escrow.CodePolicyNotFound, "policy for the region", region)
}
