package httpapi

import (
	"encoding/json"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type templateBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose template; for the root key."`
	TemplateFields
}

// TemplateFields is what a client gives to make a template.
type TemplateFields struct {
	Code     string          `json:"code" doc:"The kind of asset, which decides what config has." enum:"CONSTR_ESCROW,CONSTR_RETAINAGE,TF_INVOICE,TF_LC"`
	Name     string          `json:"name" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"Tower escrow"`
	Vertical string          `json:"vertical" doc:"The code's own." enum:"CONSTRUCTION,TRADE_FINANCE"`
	Region   string          `json:"region" doc:"One of the institution's." enum:"US,EU_UK,SG,UAE"`
	Config   escrow.Metadata `json:"config" doc:"The rules that the code knows; see the guide."`
}

type templateQuery struct {
	listQuery
	tenantQuery
}

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

func viewTemplate(t escrow.AssetTemplate) templateView {
	return templateView{t.ID, t.InstitutionID, t.Code, t.Name, t.Vertical, t.Region, t.Config, timestamp(t.CreatedAt)}
}

func (s *server) createTemplate(c *call) (reply, error) {
	var body templateBody
	done, err := tenantCommand[escrow.AssetTemplate](c, &body, &body.InstitutionID, func(*reading) (escrow.Command, escrow.Faults) {
		return escrow.NewCreateTemplate(escrow.TemplateInput{
			Code: body.Code, Name: body.Name, Vertical: body.Vertical, Region: body.Region, Config: json.RawMessage(body.Config),
		})
	})
	if err != nil {
		return reply{}, err
	}
	template := done.resource
	return created("/asset-templates/"+template.ID.String(), viewTemplate(template), done.replayed), nil
}

func (s *server) getTemplate(c *call) (reply, error) {
	institution, err := c.queriedTenant()
	if err != nil {
		return reply{}, err
	}
	var id escrow.TemplateID
	if err := pathID(c, "id", &id, escrow.CodeTemplateNotFound); err != nil {
		return reply{}, err
	}
	template, err := s.engine.Template(c.request.Context(), institution, id)
	return ok(viewTemplate(template)), err
}

func (s *server) listTemplates(c *call) (reply, error) {
	var query templateQuery
	read := c.readList(&query, &query.listQuery)
	institution, err := c.listTenant(read, query.tenantQuery)
	if err != nil {
		return reply{}, err
	}
	templates, err := s.engine.Templates(c.request.Context(), institution, read.period, read.page)
	return listed(templates, read.page.Limit, viewTemplate, func(t escrow.AssetTemplate) escrow.Cursor {
		return escrow.IDCursor(t.ID)
	}), err
}
