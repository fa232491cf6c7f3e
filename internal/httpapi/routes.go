package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// route is a method on a path. What stands behind handle describes it for the
// OpenAPI document.
type route struct {
	method, path string
	access       access
	handle       func(*call) (reply, error)
	// id, tag and summary name the operation.
	id, tag, summary string
	// query, body and answer are zero values of what the route takes and gives.
	query, body, answer any
	status              int
	// refusals are the codes that the route can answer beside those of any route.
	refusals []escrow.Code
	// limited routes have a stricter rate limit.
	limited bool
	// content is the answer's types where it is not JSON, or not only, separated by spaces.
	content string
}

const (
	get  = http.MethodGet
	post = http.MethodPost
	put  = http.MethodPut
)

type codes = []escrow.Code

// table is every route there is.
func (s *server) table() []route {
	docs := public
	if !s.config.PublicDocs {
		docs = anyKey
	}
	var (
		noInstitution = codes{escrow.CodeInstitutionNotFound}
		noKey         = codes{escrow.CodeInstitutionNotFound, escrow.CodeKeyNotFound}
		rotation      = append(noKey, escrow.CodeKeyInactive)
		noPolicy      = codes{escrow.CodeInstitutionNotFound, escrow.CodePolicyNotFound}
		noTemplate    = codes{escrow.CodeInstitutionNotFound, escrow.CodeTemplateNotFound}
		noAsset       = codes{escrow.CodeInstitutionNotFound, escrow.CodeAssetNotFound}
		noPosition    = codes{escrow.CodeInstitutionNotFound, escrow.CodePositionNotFound}
		noCheckpoint  = codes{escrow.CodeInstitutionNotFound, escrow.CodeCheckpointNotFound}
		aBatch        = codes{escrow.CodeInstitutionNotFound, escrow.CodeBatchRefused}
	)
	return []route{
		{get, "/health", public, s.health, "getHealth", "Service", "Whether the process lives", nil, nil, healthView{}, 200, nil, false, ""},
		{get, "/ready", public, s.ready, "getReady", "Service", "Whether the service can serve", nil, nil, readyView{}, 200, nil, false, ""},
		{get, "/metrics", metricsKey, s.showMetrics, "getMetrics", "Service", "Metrics for Prometheus", nil, nil, nil, 200, nil, false, "text/plain"},
		{get, "/openapi.json", docs, s.openAPI, "getOpenAPI", "Service", "This document", nil, nil, nil, 200, nil, false, "application/json"},
		{get, "/docs", docs, s.docsPage, "getDocs", "Service", "This document as a page", nil, nil, nil, 200, nil, false, "text/html"},
		{get, "/docs/{file}", docs, s.docsAsset, "getDocsFile", "Service", "A file of the page", nil, nil, nil, 200, codes{codeRouteNotFound}, false, "*/*"},

		{post, "/institutions", rootKey, s.createInstitution, "createInstitution", "Institutions", "Create an institution", nil, institutionBody{}, institutionView{}, 201, nil, true, ""},
		{get, "/institutions", anyKey, s.listInstitutions, "listInstitutions", "Institutions", "List institutions", listQuery{}, nil, listView[institutionView]{}, 200, nil, false, ""},
		{get, "/institutions/{id}", anyKey, s.getInstitution, "getInstitution", "Institutions", "Get an institution", nil, nil, institutionView{}, 200, noInstitution, false, ""},

		{post, "/institutions/{id}/api-keys", adminKey, s.createKey, "createApiKey", "API keys", "Create an API key", nil, keyBody{}, newKeyView{}, 201, noInstitution, true, ""},
		{get, "/institutions/{id}/api-keys", adminKey, s.listKeys, "listApiKeys", "API keys", "List API keys", keyQuery{}, nil, listView[KeyView]{}, 200, noInstitution, false, ""},
		{post, "/institutions/{id}/api-keys/{keyId}/revoke", adminKey, s.revokeKey, "revokeApiKey", "API keys", "Revoke an API key", nil, nil, KeyView{}, 200, noKey, false, ""},
		{post, "/institutions/{id}/api-keys/{keyId}/rotate", adminKey, s.rotateKey, "rotateApiKey", "API keys", "Replace an API key", nil, rotationBody{}, newKeyView{}, 201, rotation, true, ""},

		{put, "/institutions/{id}/policies/{region}", adminKey, s.setPolicy, "setPolicy", "Policies", "Set the policy of a region", nil, policyBody{}, policyView{}, 200, noInstitution, false, ""},
		{get, "/institutions/{id}/policies/{region}", anyKey, s.getPolicy, "getPolicy", "Policies", "Get the policy of a region", nil, nil, policyView{}, 200, noPolicy, false, ""},
		{get, "/institutions/{id}/policies", anyKey, s.listPolicies, "listPolicies", "Policies", "List policies", listQuery{}, nil, listView[policyView]{}, 200, noInstitution, false, ""},

		{post, "/asset-templates", adminKey, s.createTemplate, "createAssetTemplate", "Assets", "Create an asset template", tenantQuery{}, templateBody{}, templateView{}, 201, noInstitution, false, ""},
		{get, "/asset-templates", anyKey, s.listTemplates, "listAssetTemplates", "Assets", "List asset templates", templateQuery{}, nil, listView[templateView]{}, 200, noInstitution, false, ""},
		{get, "/asset-templates/{id}", anyKey, s.getTemplate, "getAssetTemplate", "Assets", "Get an asset template", tenantQuery{}, nil, templateView{}, 200, noTemplate, false, ""},
		{post, "/assets", adminKey, s.createAsset, "createAsset", "Assets", "Create an asset", tenantQuery{}, assetBody{}, assetView{}, 201, noTemplate, false, ""},
		{get, "/assets", anyKey, s.listAssets, "listAssets", "Assets", "List assets", assetQuery{}, nil, listView[assetView]{}, 200, noInstitution, false, ""},
		{get, "/assets/{id}", anyKey, s.getAsset, "getAsset", "Assets", "Get an asset", tenantQuery{}, nil, assetView{}, 200, noAsset, false, ""},

		{post, "/positions", adminKey, s.createPosition, "createPosition", "Positions", "Create a position", tenantQuery{}, positionBody{}, positionView{}, 201, append(noAsset, creationRefusals()...), false, ""},
		{get, "/positions", anyKey, s.listPositions, "listPositions", "Positions", "List positions", positionQuery{}, nil, listView[positionView]{}, 200, noInstitution, false, ""},
		{get, "/positions/{id}", anyKey, s.getPosition, "getPosition", "Positions", "Get a position with its events", tenantQuery{}, nil, positionView{}, 200, noPosition, false, ""},
		{get, "/positions/{id}/statement", anyKey, s.getPositionStatement, "getPositionStatement", "Positions", "Get the account statement of a position", positionStatementQuery{}, nil, positionStatementView{}, 200, noPosition, false, contentTypeCSV + " " + contentTypeHTML},
		{post, "/positions/{id}/transition", adminKey, s.transition, "transitionPosition", "Positions", "Lead a position to another state", tenantQuery{}, transitionBody{}, positionView{}, 200, append(noPosition, transitionRefusals()...), false, ""},
		{post, "/positions/batch", adminKey, s.createPositions, "createPositions", "Positions", "Create up to 1000 positions", tenantQuery{}, positionBatchBody{}, batchView{}, 200, aBatch, false, ""},
		{post, "/positions/transitions/batch", adminKey, s.transitionPositions, "transitionPositions", "Positions", "Lead up to 1000 positions to other states", tenantQuery{}, transitionBatchBody{}, batchView{}, 200, aBatch, false, ""},

		{get, "/ledger-events", anyKey, s.listLedgerEvents, "listLedgerEvents", "Journal", "List what happened to positions", ledgerQuery{}, nil, listView[ledgerEventView]{}, 200, noInstitution, false, ""},
		{get, "/institutions/{id}/balances", anyKey, s.getBalances, "getBalances", "Journal", "Get the trial balance", nil, nil, balancesView{}, 200, noInstitution, false, ""},
		{get, "/institutions/{id}/statements", anyKey, s.getStatement, "getStatement", "Journal", "Get the account statement of a period", statementQuery{}, nil, statementView{}, 200, noInstitution, false, contentTypeCSV + " " + contentTypeHTML},
		{get, "/audit-events", adminKey, s.listAuditEvents, "listAuditEvents", "Journal", "List everything that was done", auditQuery{}, nil, listView[auditEventView]{}, 200, noInstitution, false, ""},

		{get, "/keys", public, s.listLogKeys, "listLogKeys", "Transparency log", "List the keys that sign checkpoints", listQuery{}, nil, listView[logKeyView]{}, 200, nil, false, ""},
		{get, "/institutions/{id}/journal", adminKey, s.listJournal, "listJournal", "Transparency log", "List the journal as it is hashed", listQuery{}, nil, listView[journalEntryView]{}, 200, noInstitution, false, ""},
		{get, "/institutions/{id}/journal/checkpoint", anyKey, s.getCheckpoint, "getCheckpoint", "Transparency log", "Get a checkpoint", checkpointQuery{}, nil, checkpointView{}, 200, noCheckpoint, false, ""},
		{get, "/institutions/{id}/journal/checkpoints", anyKey, s.listCheckpoints, "listCheckpoints", "Transparency log", "List checkpoints", pageQuery{}, nil, listView[checkpointView]{}, 200, noInstitution, false, ""},
		{get, "/institutions/{id}/journal/proofs/inclusion", anyKey, s.proveInclusion, "proveInclusion", "Transparency log", "Prove that an entry is in the journal", inclusionQuery{}, nil, inclusionView{}, 200, append(noCheckpoint, escrow.CodeEntryNotFound), false, ""},
		{get, "/institutions/{id}/journal/proofs/consistency", anyKey, s.proveConsistency, "proveConsistency", "Transparency log", "Prove that the journal has only grown", consistencyQuery{}, nil, consistencyView{}, 200, noCheckpoint, false, ""},
	}
}
