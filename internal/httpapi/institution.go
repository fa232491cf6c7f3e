package httpapi

import (
	"net/http"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// institutionBody makes an institution.
type institutionBody struct {
	Name      string    `json:"name" limit:"text" example:"First Builders Bank"`
	Regions   []string  `json:"regions" nullable:"false" doc:"Where it is active." minItems:"1" uniqueItems:"true" words:"regions"`
	Verticals *[]string `json:"verticals,omitempty" doc:"The lines of business in which it is active; all when left out." minItems:"1" uniqueItems:"true" words:"verticals"`
}

// institutionView is an institution as the API shows it.
type institutionView struct {
	ID        escrow.InstitutionID `json:"id"`
	Name      string               `json:"name"`
	Regions   []escrow.Region      `json:"regions" nullable:"false"`
	Verticals []escrow.Vertical    `json:"verticals" nullable:"false"`
	UpkeepView
}

// UpkeepView is what institutions, asset templates and assets have in common.
type UpkeepView struct {
	Version   int64      `json:"version" doc:"One more with each change." minimum:"1"`
	CreatedAt timestamp  `json:"createdAt"`
	ClosedAt  *timestamp `json:"closedAt,omitempty" doc:"Since when nothing new is taken."`
}

func viewUpkeep(u escrow.Upkeep) UpkeepView {
	return UpkeepView{
		Version: u.Version, CreatedAt: timestamp(u.CreatedAt), ClosedAt: (*timestamp)(u.ClosedAt),
	}
}

// viewInstitution shows an institution.
func viewInstitution(i escrow.Institution) institutionView {
	return institutionView{
		ID:         i.ID,
		Name:       i.Name,
		Regions:    i.Regions,
		Verticals:  i.Verticals,
		UpkeepView: viewUpkeep(i.Upkeep),
	}
}

// institutionCursor is an institution's place in a list.
func institutionCursor(i escrow.Institution) escrow.Cursor { return escrow.IDCursor(i.ID) }

var createInstitutionOperation = operation{
	Operation: web.Operation{
		ID: "createInstitution", Tag: "Institutions", Summary: "Create an institution",
		Body:        institutionBody{},
		BodyExample: createInstitutionExample, Answer: institutionView{}, Status: http.StatusCreated,
		AnswerHeaders: headers{etagHeader},
	},
}

// createInstitution makes a tenant. Its entry is the first of a journal of its own, which
// nobody can name before it exists: the command is on no institution.
func (s *server) createInstitution(c *call) (reply, error) {
	command, faults := escrow.NewCreateInstitution(escrow.InstitutionInput(bodyOf[institutionBody](c)))

	institution, err := execute[escrow.Institution](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	location := "/institutions/" + institution.ID.String()
	return created(location, viewInstitution(institution)).tagged(institution.Version), nil
}

var getInstitutionOperation = operation{
	Operation: web.Operation{
		ID: "getInstitution", Tag: "Institutions", Summary: "Get an institution",
		Answer: institutionView{}, AnswerHeaders: headers{etagHeader},
	},
}

// getInstitution answers an institution, to root and to itself.
func (s *server) getInstitution(c *call) (reply, error) {
	id, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	institution, err := s.engine.Institution(c.context(), id)
	if err != nil {
		return reply{}, err
	}
	return c.conditional(institution.Version, func() (reply, error) { return ok(viewInstitution(institution)), nil })
}

// institutionPatch changes what an institution is called.
type institutionPatch struct {
	Name *string `json:"name,omitempty" null:"refused" limit:"text" example:"First Builders Bank of Boston"`
}

var updateInstitutionOperation = operation{
	Operation: web.Operation{
		ID: "updateInstitution", Tag: "Institutions", Summary: "Change an institution's name",
		Body:        institutionPatch{},
		BodyExample: updateInstitutionExample, Answer: institutionView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeVersionMismatch},
}

// updateInstitution changes what an institution is called.
func (s *server) updateInstitution(c *call) (reply, error) {
	command, faults := escrow.NewUpdateInstitution(bodyOf[institutionPatch](c).Name, c.versions)
	institution, err := execute[escrow.Institution](c, command, faults)
	return ok(viewInstitution(institution)).tagged(institution.Version), err
}

var closeInstitutionOperation = operation{
	Operation: web.Operation{
		ID: "closeInstitution", Tag: "Institutions", Summary: "Close an institution that holds nothing",
		Answer: institutionView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeInstitutionHoldsMoney},
}

// closeInstitution ends an institution's work. What it has stays there to be read.
func (s *server) closeInstitution(c *call) (reply, error) {
	institution, err := execute[escrow.Institution](c, escrow.CloseInstitution{}, nil)
	return ok(viewInstitution(institution)).tagged(institution.Version), err
}

var listInstitutionsOperation = operation{
	Operation: web.Operation{
		ID: "listInstitutions", Tag: "Institutions", Summary: "List institutions",
		Query: listQuery{}, Answer: listView[institutionView]{},
	},
}

// listInstitutions answers all of them to root, and to a tenant its own: which others
// there are is nothing that it may learn.
func (s *server) listInstitutions(c *call) (reply, error) {
	list := queryOf[listQuery](c).read(&c.faults, "institutions")
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}

	if c.caller.root {
		institutions, err := s.engine.Institutions(c.context(), list.period, list.page)
		return listed(list, institutions, viewInstitution, institutionCursor), err
	}

	// The parameters of a list mean the same here, however short the list is.
	own, err := s.engine.Institution(c.context(), c.caller.institution)
	createdAt := func(i escrow.Institution) time.Time { return i.CreatedAt }
	page := pageOf([]escrow.Institution{own}, list, createdAt, institutionCursor)
	return listed(list, page, viewInstitution, institutionCursor), err
}
