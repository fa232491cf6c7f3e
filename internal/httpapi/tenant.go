package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// tenancy is where a route's request names the institution that it concerns. A key of an
// institution acts for that one alone; root must name one.
type tenancy int

const (
	// noTenant is a route that concerns no institution, or all.
	noTenant tenancy = iota
	// inPath is the id in the path. Another tenant's institution is answered as one that
	// does not exist.
	inPath
	// existingInPath is inPath for a query that does not find a missing institution by
	// itself.
	existingInPath
	// named is the query or the body, which need not name the key's own.
	named
	// existingNamed is named for a list: an empty one would hide a mistyped id.
	existingNamed
)

// tenant is the institution that a request concerns, or why there is none.
type tenant struct {
	id      escrow.InstitutionID
	faults  escrow.Faults
	refusal error
}

// tenantNamer is a query or a body that can name an institution; it returns "" where it
// does not.
type tenantNamer interface{ namedTenant() string }

// tenantQuery is the parameter that names an institution.
type tenantQuery struct {
	InstitutionID string `query:"institutionId" doc:"Whose resources. The root key must name it; a tenant's key acts for its own institution and may leave it out."`
}

func (q tenantQuery) namedTenant() string { return q.InstitutionID }

// findTenant notes which institution the request concerns. It asks nothing of the
// database, and refuses nothing yet: faults are told first.
func (c *call) findTenant() {
	switch c.route.tenant {
	case noTenant:
	case inPath, existingInPath:
		c.tenant = c.pathTenant()
	case named, existingNamed:
		c.tenant = c.namedTenant()
	}
}

// pathTenant finds the institution that the path names.
func (c *call) pathTenant() (t tenant) {
	err := t.id.UnmarshalText([]byte(c.request.PathValue("id")))
	if err != nil || !c.caller.root && t.id != c.caller.institution {
		t.refusal = escrow.Errorf(escrow.CodeInstitutionNotFound, "There is no such institution.")
	}
	return t
}

// namedTenant finds the institution that body and query name, which must be the same.
func (c *call) namedTenant() (t tenant) {
	for _, part := range []any{c.body, c.query} {
		namer, ok := part.(tenantNamer)
		if !ok || namer.namedTenant() == "" {
			continue
		}

		// One that is not an id is as good as none for what follows.
		var id escrow.InstitutionID
		if err := id.UnmarshalText([]byte(namer.namedTenant())); err != nil {
			t.faults.Add("institutionId", "%s", err)
		} else if !t.id.IsZero() && id != t.id {
			t.faults.Add("institutionId", "must be the same in body and query")
		}
		t.id = id
	}

	if t.id.IsZero() && c.caller.root {
		t.faults.Add("institutionId", "is required with the root key, and from the operator's people")
	}
	if len(t.faults) > 0 || c.caller.root {
		return t
	}
	if !t.id.IsZero() && t.id != c.caller.institution {
		t.refusal = escrow.Errorf(escrow.CodeForbidden, "The key acts for another institution.")
	}
	t.id = c.caller.institution
	return t
}

// institution returns the institution that the request concerns. The error is all that is
// wrong with the request, what its handler has noted included; where nothing is, the
// refusal of the institution.
func (c *call) institution() (escrow.InstitutionID, error) {
	c.faults.Merge(c.tenant.faults)
	if err := c.faults.Err(); err != nil {
		return escrow.InstitutionID{}, err
	}
	if c.tenant.refusal != nil {
		return escrow.InstitutionID{}, c.tenant.refusal
	}

	// The institution of a key exists; root may name any.
	mustExist := c.route.tenant == existingInPath || c.route.tenant == existingNamed
	if mustExist && c.caller.root {
		if _, err := c.server.engine.Institution(c.context(), c.tenant.id); err != nil {
			return escrow.InstitutionID{}, err
		}
	}
	return c.tenant.id, nil
}
