package httpapi

import (
	"encoding/json"

	"github.com/escrowgrid/escrowgrid"
)

type templateBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose template; for the root key."`
	TemplateFields
}

// TemplateFields is what a client gives to make a template.
type TemplateFields struct {
	Code     string              `json:"code" doc:"The kind of asset, which decides what config has." enum:"CONSTR_ESCROW,CONSTR_RETAINAGE,TF_INVOICE,TF_LC"`
	Name     string              `json:"name" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"Tower escrow"`
	Vertical string              `json:"vertical" doc:"The code's own." enum:"CONSTRUCTION,TRADE_FINANCE"`
	Region   string              `json:"region" doc:"One of the institution's." enum:"US,EU_UK,SG,UAE"`
	Config   escrowgrid.Metadata `json:"config" doc:"The rules that the code knows; see the guide."`
}

type templateQuery struct {
	listQuery
	tenantQuery
}

type templateView struct {
	ID            escrowgrid.TemplateID     `json:"id"`
	InstitutionID escrowgrid.InstitutionID  `json:"institutionId"`
	Code          escrowgrid.TemplateCode   `json:"code"`
	Name          string                    `json:"name"`
	Vertical      escrowgrid.Vertical       `json:"vertical"`
	Region        escrowgrid.Region         `json:"region"`
	Config        escrowgrid.TemplateConfig `json:"config"`
	CreatedAt     timestamp                 `json:"createdAt"`
}

func viewTemplate(t escrowgrid.AssetTemplate) templateView {
	return templateView{t.ID, t.InstitutionID, t.Code, t.Name, t.Vertical, t.Region, t.Config, timestamp(t.CreatedAt)}
}

func (s *server) createTemplate(c *call) (reply, error) {
	var body templateBody
	done, err := tenantCommand[escrowgrid.AssetTemplate](c, &body, &body.InstitutionID, func(*reading) (escrowgrid.Command, error) {
		return escrowgrid.NewCreateTemplate(escrowgrid.TemplateInput{
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
	var id escrowgrid.TemplateID
	if err := pathID(c, "id", &id, escrowgrid.CodeTemplateNotFound); err != nil {
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
	return listed(templates, read.page.Limit, viewTemplate, func(t escrowgrid.AssetTemplate) escrowgrid.Cursor {
		return escrowgrid.IDCursor(t.ID)
	}), err
}
