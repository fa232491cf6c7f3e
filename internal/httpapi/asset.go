package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type assetBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose asset; for the root key."`
	AssetFields
}

// AssetFields is what a client gives to make an asset.
type AssetFields struct {
	TemplateID string          `json:"templateId" doc:"The asset's template." example:"tmpl_01jd8m3q5yf7wbt0x4a2k9r6ce"`
	Label      string          `json:"label" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"Harbour Tower, lot 3"`
	Metadata   escrow.Metadata `json:"metadata,omitempty" doc:"Anything of the client's, up to 64 KiB and 10 deep."`
}

type assetQuery struct {
	listQuery
	tenantQuery
	TemplateID string `query:"templateId" doc:"Only assets of this template."`
}

type assetView struct {
	ID            escrow.AssetID       `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	TemplateID    escrow.TemplateID    `json:"templateId"`
	Label         string               `json:"label"`
	Metadata      escrow.Metadata      `json:"metadata,omitempty"`
	CreatedAt     timestamp            `json:"createdAt"`
}

func viewAsset(a escrow.Asset) assetView {
	return assetView{a.ID, a.InstitutionID, a.TemplateID, a.Label, a.Metadata, timestamp(a.CreatedAt)}
}

func (s *server) createAsset(c *call) (reply, error) {
	var body assetBody
	done, err := tenantCommand[escrow.Asset](c, &body, &body.InstitutionID, func(*reading) (escrow.Command, escrow.Faults) {
		return escrow.NewCreateAsset(escrow.AssetInput(body.AssetFields))
	})
	if err != nil {
		return reply{}, err
	}
	asset := done.resource
	return created("/assets/"+asset.ID.String(), viewAsset(asset), done.replayed), nil
}

func (s *server) getAsset(c *call) (reply, error) {
	institution, err := c.queriedTenant()
	if err != nil {
		return reply{}, err
	}
	var id escrow.AssetID
	if err := pathID(c, "id", &id, escrow.CodeAssetNotFound); err != nil {
		return reply{}, err
	}
	asset, err := s.engine.Asset(c.request.Context(), institution, id)
	return ok(viewAsset(asset)), err
}

func (s *server) listAssets(c *call) (reply, error) {
	var query assetQuery
	read := c.readList(&query, &query.listQuery)
	filter := escrow.AssetFilter{Period: read.period}
	optionalID(&read.faults, "templateId", query.TemplateID, &filter.Template)
	institution, err := c.listTenant(read, query.tenantQuery)
	if err != nil {
		return reply{}, err
	}
	assets, err := s.engine.Assets(c.request.Context(), institution, filter, read.page)
	return listed(assets, read.page.Limit, viewAsset, func(a escrow.Asset) escrow.Cursor {
		return escrow.IDCursor(a.ID)
	}), err
}
