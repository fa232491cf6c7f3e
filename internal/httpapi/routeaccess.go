package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// RouteAccess is who may use a route of the API, for the documentation.
type RouteAccess struct {
	// Route is the method and the path: "GET /positions/{id}".
	Route string
	// OneOf are the permissions of which it takes one; without any, each key will do, or none.
	OneOf []escrow.Permission
	// Parts are permissions that parts of it take beside.
	Parts []escrow.Permission
	// Whole says that it takes no key that is restricted to a part of its institution.
	Whole bool
}

// RouteAccesses lists the routes of the API that take a permission, in the order of the table of routes.
func RouteAccesses() (all []RouteAccess) {
	for _, r := range (&server{}).table() {
		if !r.unlisted && len(r.access.oneOf) > 0 {
			all = append(all, RouteAccess{
				Route: r.pattern, OneOf: r.access.oneOf, Parts: r.access.parts, Whole: r.access.whole,
			})
		}
	}
	return all
}
