package httpapi

import (
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// The ids that the examples of the document name, and the bodies that are them: whole, and
// such that they can be sent again and again to an institution with these resources.
const (
	exampleID          = "_01jd8m3q5yf7wbt0x4a2k9r6ce"
	exampleInstitution = "inst" + exampleID
	exampleKey         = "key" + exampleID
	exampleTemplate    = "tmpl" + exampleID
	exampleAsset       = "ast" + exampleID
	examplePosition    = "pos" + exampleID
	exampleErasure     = "ers" + exampleID
	exampleApproval    = "apr" + exampleID
	exampleHold        = "hld" + exampleID
	exampleUser        = "usr" + exampleID
	exampleSession     = "ses" + exampleID

	exampleDigest = "0000000000000000000000000000000000000000000000000000000000000000"
)

const (
	createInstitutionExample = `{"name": "Second Builders Bank", "regions": ["US", "EU_UK"], "verticals": ["CONSTRUCTION"]}`
	updateInstitutionExample = `{"name": "First Builders Bank of Boston"}`

	createKeyExample = `{"label": "payments service", "role": "admin"}`
	updateKeyExample = `{"label": "payments service, Frankfurt"}`
	rotateKeyExample = `{"overlapSeconds": 3600}`

	setRoleExample = `{"permissions": ["positions.read", "positions.release"]}`

	setProviderExample = `{"issuer": "https://login.example.com", "clientId": "escrowgrid", ` +
		`"roleByGroup": {"escrow-operators": "operator", "escrow-auditors": "auditor"}}`

	setApprovalRulesExample = `{"rules": [{"id": "large-releases", "on": ["positions.release"], ` +
		`"when": {"amountFrom": {"USD": "50000"}, "window": "24h"}, "require": [{"role": "admin", "count": 1}], ` +
		`"expiresIn": "72h"}]}`
	approveExample = `{"digest": "` + exampleDigest + `", ` +
		`"comment": "Checked against the architect's report"}`
	rejectExample = `{"comment": "The invoice was paid before"}`

	setPolicyExample = `{"position": {"minAmount": "100", "maxAmount": "5000000", "allowedCurrencies": ["USD"]}}`

	createTemplateExample = `{"code": "CONSTR_ESCROW", "name": "Tower escrow", "vertical": "CONSTRUCTION", ` +
		`"region": "US", "config": {"currency": "USD"}}`
	updateTemplateExample = `{"name": "Tower escrow, second phase"}`

	createAssetExample = `{"templateId": "` + exampleTemplate + `", "label": "Harbour Tower, lot 4", ` +
		`"metadata": {"contract": "HT-2027-118"}}`
	updateAssetExample = `{"label": "Harbour Tower, lot 3b", "metadata": {"contract": "HT-2027-117"}}`

	createPositionExample = `{"assetId": "` + exampleAsset + `", "holderReference": "ACME-4711", "currency": "USD", ` +
		`"amount": "1000.00", "metadata": {"invoice": "2027-0815"}}`
	createPositionsExample = `{"atomic": true, "items": [` +
		`{"assetId": "` + exampleAsset + `", "holderReference": "ACME-4712", "currency": "USD", "amount": "250.00"}, ` +
		`{"assetId": "` + exampleAsset + `", "holderReference": "ACME-4713", "currency": "USD", "amount": "400.00"}]}`

	transitionPositionExample = `{"toState": "PARTIALLY_RELEASED", "amount": "10.00", ` +
		`"reason": "foundations are done"}`
	transitionPositionsExample = `{"atomic": false, "items": [{"positionId": "` + examplePosition + `", ` +
		`"toState": "PARTIALLY_RELEASED", "amount": "5.00", "reason": "second floor is done"}]}`

	placeHoldExample  = `{"kind": "COMPLIANCE", "amount": "1.00", "reason": "Invoice under review"}`
	liftHoldExample   = `{"reason": "The invoice is in order"}`
	holdHolderExample = `{"holderReference": "ACME-4712", "kind": "LEGAL", "reason": "Freezing order of the High Court", ` +
		`"reference": "HC-2027-000118"}`

	erasePositionExample = `{"reason": "request of the holder, GDPR article 17"}`
	createErasureExample = `{"holderReference": "ACME-4711", "dryRun": true}`
)

// ExampleIDs are the ids of resources of one institution, and the digest of what the approval is about.
type ExampleIDs struct{ Institution, Key, Template, Asset, Position, Erasure, Approval, Hold, Digest string }

// NameInExamples lets the examples of the document name these resources from now on, so that
// they work as they are sent.
func (a *API) NameInExamples(ids ExampleIDs) {
	named := strings.NewReplacer(
		exampleInstitution, ids.Institution,
		exampleKey, ids.Key,
		exampleTemplate, ids.Template,
		exampleAsset, ids.Asset,
		examplePosition, ids.Position,
		exampleErasure, ids.Erasure,
		exampleApproval, ids.Approval,
		exampleHold, ids.Hold,
		exampleDigest, ids.Digest,
	).Replace(string(*a.document.Load()))
	a.document.Store(new([]byte(named)))
}

// pathParameters describes the parameters of paths.
func pathParameters() map[string]web.PathParameter {
	region := web.PathParameter{Of: escrow.Region(""), Example: string(escrow.Regions()[0])}
	holder := web.PathParameter{
		Of: "", Example: "ACME-4711",
		Description: "The holder's reference, percent-encoded: a slash in it is %2F.",
	}

	return map[string]web.PathParameter{
		"/institutions/{id}":                      {Of: escrow.InstitutionID{}, Example: exampleInstitution},
		"/institutions/{id}/api-keys/{keyId}":     {Of: escrow.KeyID{}, Example: exampleKey},
		"/institutions/{id}/policies/{region}":    region,
		"/institutions/{id}/roles/{name}":         {Of: "", Example: "releaser"},
		"/institutions/{id}/users/{userId}":       {Of: escrow.UserID{}, Example: exampleUser},
		"/institutions/{id}/sessions/{sessionId}": {Of: escrow.SessionID{}, Example: exampleSession},
		"/sessions/{id}":                          {Of: escrow.SessionID{}, Example: exampleSession},
		"/asset-templates/{id}":                   {Of: escrow.TemplateID{}, Example: exampleTemplate},
		"/assets/{id}":                            {Of: escrow.AssetID{}, Example: exampleAsset},
		"/positions/{id}":                         {Of: escrow.PositionID{}, Example: examplePosition},
		"/positions/{id}/holds/{holdId}":          {Of: escrow.HoldID{}, Example: exampleHold},
		"/approvals/{id}":                         {Of: escrow.ApprovalID{}, Example: exampleApproval},
		"/erasures/{id}":                          {Of: escrow.ErasureID{}, Example: exampleErasure},
		"/holders/{reference}":                    holder,
		"/docs/{file}":                            {Of: "", Example: "docs.js"},
	}
}
