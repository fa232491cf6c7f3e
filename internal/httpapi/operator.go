package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// Operators is where the operator's people come from, and which groups of them have which role.
type Operators struct {
	Provider    identity.Provider
	RoleByGroup map[string]escrow.OperatorRole
}

// EngineOperators is who acts for the operator, as the engine has to know it: with a root key, which is
// empty where it is turned off, or as one of the operator's people, who are nil where there are none.
func EngineOperators(rootKey string, people *Operators) escrow.Operators {
	all := escrow.Operators{RootKey: rootKey}
	if people != nil {
		all.Issuer, all.ClientID = people.Provider.Issuer, people.Provider.ClientID
		all.RoleByGroup = people.RoleByGroup
	}
	return all
}

// operatorCaller is one of the operator's people, as their provider tells of them. It refuses who has no
// role: the provider signs for others, too.
func (s *server) operatorCaller(claims identity.Claims) (*engine.Caller, error) {
	role := s.engine.Operators().Role(claims.Groups)
	if role == "" {
		return nil, escrow.NoGroupWithRole(claims.Groups)
	}
	said := escrow.Membership{Issuer: claims.Issuer, Groups: claims.Groups}
	return engine.OperatorCaller(escrow.NewOperatorID(claims.Issuer, claims.Subject), said, role), nil
}

// endsSessionsOfOperators reports whether the caller sees and ends the sessions of all of the operator's:
// with the root key, or as one of its people with the role root.
func (c *caller) endsSessionsOfOperators() bool {
	return c.root && c.rights.Permissions.Has(escrow.PermissionUsersManage)
}
