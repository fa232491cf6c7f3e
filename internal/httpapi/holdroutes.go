package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// takesLegal takes a permission, and for legal holds another one beside it.
func takesLegal(permission escrow.Permission) access {
	return takes(permission).andParts(escrow.PermissionHoldsLegal)
}

// holdRoutes are the routes of what keeps money where it is. They go on with the table of routes.
func (s *server) holdRoutes() []route {
	return []route{
		{
			pattern: "POST /positions/{id}/holds", access: takesLegal(escrow.PermissionHoldsPlace), tenant: named,
			handle: s.placeHold, operation: placeHoldOperation,
		},

		{
			pattern: "GET /positions/{id}/holds", access: takes(escrow.PermissionHoldsRead), tenant: named,
			handle: s.listPositionHolds, operation: listPositionHoldsOperation,
		},
		{
			pattern: "GET /positions/{id}/holds/{holdId}", access: takes(escrow.PermissionHoldsRead), tenant: named,
			handle: s.getHold, operation: getHoldOperation,
		},
		{
			pattern: "POST /positions/{id}/holds/{holdId}/lift",
			access:  takesLegal(escrow.PermissionHoldsLift), tenant: named,
			handle: s.liftHold, operation: liftHoldOperation,
		},

		{
			pattern: "POST /holds", tenant: named, repeatable: true,
			access: takesWhole(escrow.PermissionHoldsPlace).andParts(escrow.PermissionHoldsLegal),
			handle: s.holdHolder, operation: holdHolderOperation,
		},
		{
			pattern: "GET /holds", access: takesWhole(escrow.PermissionHoldsRead), tenant: existingNamed,
			handle: s.listHolds, operation: listHoldsOperation,
		},
	}
}
