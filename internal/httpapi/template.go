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

// assetTemplateView is a template as the API shows it.
type assetTemplateView struct {
	ID            escrow.TemplateID     `json:"id"`
	InstitutionID escrow.InstitutionID  `json:"institutionId"`
	Code          escrow.TemplateCode   `json:"code"`
	Name          string                `json:"name"`
	Vertical      escrow.Vertical       `json:"vertical"`
	Region        escrow.Region         `json:"region"`
	Config        escrow.TemplateConfig `json:"config"`
	UpkeepView
}

// viewTemplate shows a template.
func viewTemplate(t escrow.AssetTemplate) assetTemplateView {
	return assetTemplateView{
		ID:            t.ID,
		InstitutionID: t.InstitutionID,
		Code:          t.Code,
		Name:          t.Name,
		Vertical:      t.Vertical,
		Region:        t.Region,
		Config:        t.Config,
		UpkeepView:    viewUpkeep(t.Upkeep),
	}
}

// templateCursor is a template's place in a list.
func templateCursor(t escrow.AssetTemplate) escrow.Cursor { return escrow.IDCursor(t.ID) }

var createTemplateOperation = operation{
	Operation: web.Operation{
		ID: "createAssetTemplate", Tag: "Assets", Summary: "Create an asset template",
		Query: tenantQuery{}, Body: templateBody{},
		BodyExample: createTemplateExample, Answer: assetTemplateView{}, Status: http.StatusCreated,
		AnswerHeaders: headers{etagHeader},
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
	return created("/asset-templates/"+template.ID.String(), viewTemplate(template)).tagged(template.Version), nil
}

var getTemplateOperation = operation{
	Operation: web.Operation{
		ID: "getAssetTemplate", Tag: "Assets", Summary: "Get an asset template",
		Query: tenantQuery{}, Answer: assetTemplateView{}, AnswerHeaders: headers{etagHeader},
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
	if err == nil && !c.caller.rights.Restriction.SeesTemplate(id) {
		err = escrow.Errorf(escrow.CodeTemplateNotFound, "There is no asset template %s.", id)
	}
	if err != nil {
		return reply{}, err
	}
	return c.conditional(template.Version, func() (reply, error) { return ok(viewTemplate(template)), nil })
}

// templatePatch changes what an asset template is called.
type templatePatch struct {
	Name *string `json:"name,omitempty" null:"refused" limit:"text" example:"Tower escrow, second phase"`
}

var updateTemplateOperation = operation{
	Operation: web.Operation{
		ID: "updateAssetTemplate", Tag: "Assets", Summary: "Change an asset template's name",
		Query: tenantQuery{}, Body: templatePatch{},
		BodyExample: updateTemplateExample, Answer: assetTemplateView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeTemplateNotFound, escrow.CodeVersionMismatch},
}

// updateTemplate changes what a template is called. Its rules stay: positions were made
// under them.
func (s *server) updateTemplate(c *call) (reply, error) {
	id := subjectID[escrow.TemplateID](c, "id", escrow.CodeTemplateNotFound)
	command, faults := escrow.NewUpdateTemplate(id, bodyOf[templatePatch](c).Name, c.versions)
	template, err := execute[escrow.AssetTemplate](c, command, faults)
	return ok(viewTemplate(template)).tagged(template.Version), err
}

var closeTemplateOperation = operation{
	Operation: web.Operation{
		ID: "closeAssetTemplate", Tag: "Assets", Summary: "Close an asset template, so that it takes no new assets",
		Query: tenantQuery{}, Answer: assetTemplateView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeTemplateNotFound},
}

// closeTemplate ends a template. Its assets go on.
func (s *server) closeTemplate(c *call) (reply, error) {
	id := subjectID[escrow.TemplateID](c, "id", escrow.CodeTemplateNotFound)
	template, err := execute[escrow.AssetTemplate](c, escrow.CloseTemplate{Template: id}, nil)
	return ok(viewTemplate(template)).tagged(template.Version), err
}

var listTemplatesOperation = operation{
	Operation: web.Operation{
		ID: "listAssetTemplates", Tag: "Assets", Summary: "List asset templates",
		Query: templateQuery{}, Answer: listView[assetTemplateView]{},
	},
}

// listTemplates answers an institution's templates in the order of creation.
func (s *server) listTemplates(c *call) (reply, error) {
	list := queryOf[templateQuery](c).read(&c.faults, "asset-templates")
	filter := escrow.TemplateFilter{Period: list.period, Within: c.caller.rights.Restriction}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	templates, err := s.engine.Templates(c.context(), institution, filter, list.page)
	return listed(list, templates, viewTemplate, templateCursor), err
}
