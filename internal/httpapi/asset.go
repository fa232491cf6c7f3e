package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// assetBody makes an asset; root names whose.
type assetBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose asset; for the root key."`
	AssetFields
}

func (b assetBody) namedTenant() string { return b.InstitutionID }

// AssetFields is what a client gives to make an asset. Its fields are those of
// escrow.AssetInput, which has the rules.
type AssetFields struct {
	TemplateID string          `json:"templateId" doc:"The asset's template." example:"tmpl_01jd8m3q5yf7wbt0x4a2k9r6ce"`
	Label      string          `json:"label" limit:"text" example:"Harbour Tower, lot 3"`
	Metadata   escrow.Metadata `json:"metadata,omitempty" doc:"Anything of the client's, up to 64 KiB and 10 deep."`
}

// assetQuery is the parameters of the list of assets.
type assetQuery struct {
	listQuery
	tenantQuery
	TemplateID string `query:"templateId" doc:"Only assets of this template."`
}

// assetView is an asset as the API shows it.
type assetView struct {
	ID            escrow.AssetID       `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	TemplateID    escrow.TemplateID    `json:"templateId"`
	Label         string               `json:"label"`
	Metadata      escrow.Metadata      `json:"metadata,omitempty"`
	UpkeepView
}

// viewAsset shows an asset.
func viewAsset(a escrow.Asset) assetView {
	return assetView{
		ID:            a.ID,
		InstitutionID: a.InstitutionID,
		TemplateID:    a.TemplateID,
		Label:         a.Label,
		Metadata:      a.Metadata,
		UpkeepView:    viewUpkeep(a.Upkeep),
	}
}

// assetCursor is an asset's place in a list.
func assetCursor(a escrow.Asset) escrow.Cursor { return escrow.IDCursor(a.ID) }

var createAssetOperation = operation{
	Operation: web.Operation{
		ID: "createAsset", Tag: "Assets", Summary: "Create an asset",
		Query: tenantQuery{}, Body: assetBody{},
		BodyExample: createAssetExample, Answer: assetView{}, Status: http.StatusCreated,
		AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeTemplateNotFound, escrow.CodeTemplateClosed},
}

// createAsset makes an asset of one of the institution's templates, whose rules the
// positions on it will keep.
func (s *server) createAsset(c *call) (reply, error) {
	body := bodyOf[assetBody](c)
	command, faults := escrow.NewCreateAsset(escrow.AssetInput(body.AssetFields))

	asset, err := execute[escrow.Asset](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return created("/assets/"+asset.ID.String(), viewAsset(asset)).tagged(asset.Version), nil
}

var getAssetOperation = operation{
	Operation: web.Operation{
		ID: "getAsset", Tag: "Assets", Summary: "Get an asset",
		Query: tenantQuery{}, Answer: assetView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeAssetNotFound},
}

// getAsset answers one asset. Another institution's is answered as one that does not
// exist.
func (s *server) getAsset(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.AssetID](c, "id", escrow.CodeAssetNotFound)
	if err != nil {
		return reply{}, err
	}

	asset, err := s.engine.Asset(c.context(), institution, id)
	if err == nil && !c.caller.rights.Restriction.SeesAsset(id, asset.TemplateID) {
		err = escrow.Errorf(escrow.CodeAssetNotFound, "There is no asset %s.", id)
	}
	if err != nil {
		return reply{}, err
	}
	return c.conditional(asset.Version, func() (reply, error) { return ok(viewAsset(asset)), nil })
}

// assetPatch changes an asset.
type assetPatch struct {
	Label    *string              `json:"label,omitempty" null:"refused" limit:"text" example:"Harbour Tower, lot 4"`
	Metadata escrow.MetadataPatch `json:"metadata,omitempty" null:"taken" doc:"Members to set, or with null to remove, in depth; null removes all."`
}

var updateAssetOperation = operation{
	Operation: web.Operation{
		ID: "updateAsset", Tag: "Assets", Summary: "Change an asset's label or metadata",
		Query: tenantQuery{}, Body: assetPatch{},
		BodyExample: updateAssetExample, Answer: assetView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeAssetNotFound, escrow.CodeVersionMismatch},
}

// updateAsset changes what an asset is called, and what is noted of it.
func (s *server) updateAsset(c *call) (reply, error) {
	id := subjectID[escrow.AssetID](c, "id", escrow.CodeAssetNotFound)
	command, faults := escrow.NewUpdateAsset(id, escrow.AssetChange(bodyOf[assetPatch](c)), c.versions)
	asset, err := execute[escrow.Asset](c, command, faults)
	return ok(viewAsset(asset)).tagged(asset.Version), err
}

var closeAssetOperation = operation{
	Operation: web.Operation{
		ID: "closeAsset", Tag: "Assets", Summary: "Close an asset, so that it takes no new positions",
		Query: tenantQuery{}, Answer: assetView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeAssetNotFound},
}

// closeAsset ends an asset. The positions on it go on.
func (s *server) closeAsset(c *call) (reply, error) {
	id := subjectID[escrow.AssetID](c, "id", escrow.CodeAssetNotFound)
	asset, err := execute[escrow.Asset](c, escrow.CloseAsset{Asset: id}, nil)
	return ok(viewAsset(asset)).tagged(asset.Version), err
}

var listAssetsOperation = operation{
	Operation: web.Operation{
		ID: "listAssets", Tag: "Assets", Summary: "List assets",
		Query: assetQuery{}, Answer: listView[assetView]{},
	},
}

// listAssets answers an institution's assets in the order of creation.
func (s *server) listAssets(c *call) (reply, error) {
	query := queryOf[assetQuery](c)
	list := query.read(&c.faults, "assets")
	filter := escrow.AssetFilter{
		Period:   list.period,
		Template: optionalID[escrow.TemplateID](&c.faults, "templateId", query.TemplateID),
		Within:   c.caller.rights.Restriction,
	}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	assets, err := s.engine.Assets(c.context(), institution, filter, list.page)
	return listed(list, assets, viewAsset, assetCursor), err
}
