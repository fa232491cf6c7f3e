package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var rulesTable = newTable("approval_rules", func(r *escrow.ApprovalRules) []column {
	return []column{
		key("institution_id", uuidColumn(&r.InstitutionID)),
		changing("rules", jsonColumn(&r.Rules)),
		changing("version", bigintColumn(&r.Version)),
		fixed("created_at", timeColumn(&r.CreatedAt)),
		changing("updated_at", timeColumn(&r.UpdatedAt)),
	}
})

// An institution has one row at most, with all of its rules.
var rulesRows = newRows(rowsOf[escrow.InstitutionID, escrow.ApprovalRules, escrow.ApprovalRules]{
	table: rulesTable,
	in:    func(b *escrow.Books) *escrow.Rows[escrow.InstitutionID, escrow.ApprovalRules] { return &b.Rules },
	key:   func(r escrow.ApprovalRules) escrow.InstitutionID { return r.InstitutionID },
	pack:  asIs[escrow.ApprovalRules],
	unpack: func(r escrow.ApprovalRules) (escrow.InstitutionID, escrow.ApprovalRules) {
		return r.InstitutionID, r
	},
	whole:   func(n *escrow.Needs) *bool { return &n.Rules },
	cached:  remembersAll[escrow.ApprovalRules],
	subject: func(escrow.ApprovalRules) string { return escrow.RulesSubject },
})

// ApprovalRules returns the approval rules of an institution. Where none were ever set, they are empty,
// with the version 0.
func (s *Store) ApprovalRules(ctx context.Context, institution escrow.InstitutionID) (escrow.ApprovalRules, error) {
	rules, err := recallWhole(ctx, s, rulesRows, institution)
	if err != nil || len(rules) == 0 {
		return escrow.ApprovalRules{InstitutionID: institution}, err
	}
	return rules[0], nil
}
