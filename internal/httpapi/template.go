package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// templateBody makes a template; root names whose.
type templateBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose template; for the root key."`
	TemplateFields
}

func (b templateBody) namedTenant() string { return b.InstitutionID }

// TemplateFields is what a client gives to make a template. Its config is any object here:
// the domain reads it by the code.
type TemplateFields struct {
	Code     string          `json:"code" doc:"The kind of asset, which decides what config has." words:"templateCodes"`
	Name     string          `json:"name" limit:"text" example:"Tower escrow"`
	Vertical string          `json:"vertical" doc:"The code's own." words:"verticals"`
	Region   string          `json:"region" doc:"One of the institution's." words:"regions"`
	Config   escrow.Metadata `json:"config" doc:"The rules that the code knows; see the guide."`
}

// templateQuery is the parameters of the list of templates.
type templateQuery struct {
	listQuery
	tenantQuery
}

// templateView is a template as the API shows it.
type templateView struct {
	ID            escrow.TemplateID     `json:"id"`
	InstitutionID escrow.InstitutionID  `json:"institutionId"`
	Code          escrow.TemplateCode   `json:"code"`
	Name          string                `json:"name"`
	Vertical      escrow.Vertical       `json:"vertical"`
	Region        escrow.Region         `json:"region"`
	Config        escrow.TemplateConfig `json:"config"`
	CreatedAt     timestamp             `json:"createdAt"`
}

// viewTemplate shows a template.
func viewTemplate(t escrow.AssetTemplate) templateView {
	return templateView{
		ID:            t.ID,
		InstitutionID: t.InstitutionID,
		Code:          t.Code,
		Name:          t.Name,
		Vertical:      t.Vertical,
		Region:        t.Region,
		Config:        t.Config,
		CreatedAt:     timestamp(t.CreatedAt),
	}
}

// templateCursor is a template's place in a list.
func templateCursor(t escrow.AssetTemplate) escrow.Cursor { return escrow.IDCursor(t.ID) }

var createTemplateOperation = operation{
	Operation: web.Operation{
		ID: "createAssetTemplate", Tag: "Assets", Summary: "Create an asset template",
		Query: tenantQuery{}, Body: templateBody{}, Answer: templateView{}, Status: http.StatusCreated,
	},
}

// createTemplate makes a kind of asset. What its config may have depends on its code, so
// config is handed to the domain as it came.
func (s *server) createTemplate(c *call) (reply, error) {
	body := bodyOf[templateBody](c)
	command, faults := escrow.NewCreateTemplate(escrow.TemplateInput{
		Code:     body.Code,
		Name:     body.Name,
		Vertical: body.Vertical,
		Region:   body.Region,
		Config:   json.RawMessage(body.Config),
	})

	template, err := execute[escrow.AssetTemplate](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return created("/asset-templates/"+template.ID.String(), viewTemplate(template)), nil
}

var getTemplateOperation = operation{
	Operation: web.Operation{
		ID: "getAssetTemplate", Tag: "Assets", Summary: "Get an asset template",
		Query: tenantQuery{}, Answer: templateView{},
	},
	refusals: codes{escrow.CodeTemplateNotFound},
}

// getTemplate answers one template. Another institution's is answered as one that does
// not exist.
func (s *server) getTemplate(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.TemplateID](c, "id", escrow.CodeTemplateNotFound)
	if err != nil {
		return reply{}, err
	}

	template, err := s.engine.Template(c.context(), institution, id)
	return ok(viewTemplate(template)), err
}

var listTemplatesOperation = operation{
	Operation: web.Operation{
		ID: "listAssetTemplates", Tag: "Assets", Summary: "List asset templates",
		Query: templateQuery{}, Answer: listView[templateView]{},
	},
}

// listTemplates answers an institution's templates in the order of creation.
func (s *server) listTemplates(c *call) (reply, error) {
	list := queryOf[templateQuery](c).read(&c.faults)
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	templates, err := s.engine.Templates(c.context(), institution, list.period, list.page)
	return listed(templates, list.page.Limit, viewTemplate, templateCursor), err
}
