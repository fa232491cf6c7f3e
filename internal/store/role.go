package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var roleTable = newTable("roles", func(r *escrow.Role) []column {
	return []column{
		key("institution_id", uuidColumn(&r.InstitutionID)),
		key("name", textColumn(&r.Name)),
		changing("permissions", jsonColumn(&r.Permissions)),
		changing("version", bigintColumn(&r.Version)),
		fixed("created_at", timeColumn(&r.CreatedAt)),
		changing("updated_at", timeColumn(&r.UpdatedAt)),
	}
})

// All of an institution's roles are read together: there are few, and each new one is counted.
var roleRows = newRows(rowsOf[escrow.RoleName, escrow.Role, escrow.Role]{
	table:   roleTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.RoleName, escrow.Role] { return &b.Roles },
	key:     func(r escrow.Role) escrow.RoleName { return r.Name },
	pack:    asIs[escrow.Role],
	unpack:  func(r escrow.Role) (escrow.InstitutionID, escrow.Role) { return r.InstitutionID, r },
	whole:   func(n *escrow.Needs) *bool { return &n.Roles },
	cached:  remembersAll[escrow.Role],
	subject: func(r escrow.Role) string { return escrow.RoleSubject(r.Name) },
})

// Roles returns the roles that an institution has set, at most escrow.MaxRoles, in order of name.
func (s *Store) Roles(ctx context.Context, institution escrow.InstitutionID) ([]escrow.Role, error) {
	roles, err := recallWhole(ctx, s, roleRows, institution)
	byName := func(a, b escrow.Role) int { return cmp.Compare(a.Name, b.Name) }
	return slices.SortedFunc(slices.Values(roles), byName), err
}

// Role returns a role that an institution has set, or CodeRoleNotFound. The name may be any text,
// also one that no database takes: it is looked for here.
func (s *Store) Role(
	ctx context.Context, institution escrow.InstitutionID, name escrow.RoleName,
) (escrow.Role, error) {
	roles, err := s.Roles(ctx, institution)
	if err != nil {
		return escrow.Role{}, err
	}
	for _, role := range roles {
		if role.Name == name {
			return role, nil
		}
	}
	return must(escrow.Role{}, false, nil, escrow.CodeRoleNotFound, "role", name)
}
