package httpapi

import (
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type institutionBody struct {
	Name      string    `json:"name" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"First Builders Bank"`
	Regions   []string  `json:"regions" nullable:"false" doc:"Where it is active." minItems:"1" uniqueItems:"true" enum:"US,EU_UK,SG,UAE"`
	Verticals *[]string `json:"verticals,omitempty" doc:"In which branches it is active; all when left out." minItems:"1" uniqueItems:"true" enum:"CONSTRUCTION,TRADE_FINANCE"`
}

type institutionView struct {
	ID        escrow.InstitutionID `json:"id"`
	Name      string               `json:"name"`
	Regions   []escrow.Region      `json:"regions" nullable:"false"`
	Verticals []escrow.Vertical    `json:"verticals" nullable:"false"`
	CreatedAt timestamp            `json:"createdAt"`
}

func viewInstitution(i escrow.Institution) institutionView {
	return institutionView{i.ID, i.Name, i.Regions, i.Verticals, timestamp(i.CreatedAt)}
}

func (s *server) createInstitution(c *call) (reply, error) {
	var body institutionBody
	read, err := c.readCommand(&body, &noQuery{})
	if err != nil {
		return reply{}, err
	}
	command, faults := escrow.NewCreateInstitution(escrow.InstitutionInput(body))
	if err := read.check(faults); err != nil {
		return reply{}, err
	}
	done, err := do[escrow.Institution](c, escrow.InstitutionID{}, read.body, command, nil)
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
	cursor := func(i escrow.Institution) escrow.Cursor { return escrow.IDCursor(i.ID) }
	var institutions escrow.Page[escrow.Institution]
	var err error
	if c.caller.root {
		institutions, err = s.engine.Institutions(c.request.Context(), read.period, read.page)
	} else {
		var own escrow.Institution
		own, err = s.engine.Institution(c.request.Context(), c.caller.institution)
		institutions = pageOf([]escrow.Institution{own}, read, func(i escrow.Institution) time.Time { return i.CreatedAt }, cursor)
	}
	return listed(institutions, read.page.Limit, viewInstitution, cursor), err
}
