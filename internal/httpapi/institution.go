package httpapi

import (
	"time"

	"github.com/escrowgrid/escrowgrid"
)

type institutionBody struct {
	Name      string    `json:"name" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"First Builders Bank"`
	Regions   []string  `json:"regions" nullable:"false" doc:"Where it is active." minItems:"1" uniqueItems:"true" enum:"US,EU_UK,SG,UAE"`
	Verticals *[]string `json:"verticals,omitempty" doc:"In which branches it is active; all when left out." minItems:"1" uniqueItems:"true" enum:"CONSTRUCTION,TRADE_FINANCE"`
}

type institutionView struct {
	ID        escrowgrid.InstitutionID `json:"id"`
	Name      string                   `json:"name"`
	Regions   []escrowgrid.Region      `json:"regions" nullable:"false"`
	Verticals []escrowgrid.Vertical    `json:"verticals" nullable:"false"`
	CreatedAt timestamp                `json:"createdAt"`
}

func viewInstitution(i escrowgrid.Institution) institutionView {
	return institutionView{i.ID, i.Name, i.Regions, i.Verticals, timestamp(i.CreatedAt)}
}

func (s *server) createInstitution(c *call) (reply, error) {
	var body institutionBody
	read, err := c.readCommand(&body, &noQuery{})
	if err != nil {
		return reply{}, err
	}
	command, err := escrowgrid.NewCreateInstitution(escrowgrid.InstitutionInput(body))
	if err := read.check(err); err != nil {
		return reply{}, err
	}
	done, err := do[escrowgrid.Institution](c, escrowgrid.InstitutionID{}, read.body, command, nil)
	if err != nil {
		return reply{}, err
	}
	return created("/institutions/"+done.resource.ID.String(), viewInstitution(done.resource), done.replayed), nil
}

func (s *server) getInstitution(c *call) (reply, error) {
	id, err := c.pathTenant()
	if err != nil {
		return reply{}, err
	}
	institution, err := s.engine.Institution(c.request.Context(), id)
	return ok(viewInstitution(institution)), err
}

// listInstitutions lists all of them to root, and to a tenant its own.
func (s *server) listInstitutions(c *call) (reply, error) {
	var query listQuery
	read := c.readList(&query, &query)
	if err := read.faults.Err(); err != nil {
		return reply{}, err
	}
	cursor := func(i escrowgrid.Institution) escrowgrid.Cursor { return escrowgrid.IDCursor(i.ID) }
	var institutions escrowgrid.Page[escrowgrid.Institution]
	var err error
	if c.caller.root {
		institutions, err = s.engine.Institutions(c.request.Context(), read.period, read.page)
	} else {
		var own escrowgrid.Institution
		own, err = s.engine.Institution(c.request.Context(), c.caller.institution)
		institutions = pageOf([]escrowgrid.Institution{own}, read, func(i escrowgrid.Institution) time.Time { return i.CreatedAt }, cursor)
	}
	return listed(institutions, read.page.Limit, viewInstitution, cursor), err
}
