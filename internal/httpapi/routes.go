package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// table is every route there is, in the order of their groups.
func (s *server) table() []route {
	// An operator who does not want strangers to read the documentation asks for a key.
	docs := public
	if !s.config.PublicDocs {
		docs = anyKey
	}

	return []route{
		// The service itself. Probes ask without a key, and as often as they like.
		{
			pattern: "GET /health", permission: public, handle: s.health,
			operation: web.Operation{
				ID: "getHealth", Tag: "Service", Summary: "Whether the process lives",
				Answer: healthView{},
			},
		},
		{
			pattern: "GET /ready", permission: public, handle: s.ready,
			operation: web.Operation{
				ID: "getReady", Tag: "Service", Summary: "Whether the service can serve",
				Answer: readyView{},
			},
		},
		{
			pattern: "GET /metrics", permission: metricsKey, handle: s.showMetrics,
			operation: web.Operation{
				ID: "getMetrics", Tag: "Service", Summary: "Metrics for Prometheus",
				OtherTypes: []string{"text/plain"},
			},
		},
		{
			pattern: "GET /openapi.json", permission: docs, handle: s.openAPI,
			operation: web.Operation{
				ID: "getOpenAPI", Tag: "Service", Summary: "This document",
				OtherTypes: []string{"application/json"},
			},
		},
		{
			pattern: "GET /docs", permission: docs, handle: s.docsPage,
			operation: web.Operation{
				ID: "getDocs", Tag: "Service", Summary: "This document as a page",
				OtherTypes: []string{"text/html"},
			},
		},
		{
			pattern: "GET /docs/{file}", permission: docs, handle: s.docsFile,
			refusals: codes{codeRouteNotFound},
			operation: web.Operation{
				ID: "getDocsFile", Tag: "Service", Summary: "A file of the page",
				OtherTypes: []string{"*/*"},
			},
		},

		// Tenants. Only the operator makes them; like keys, which stay for good, at a
		// stricter rate.
		{
			pattern: "POST /institutions", permission: rootKey, handle: s.createInstitution,
			limited: true,
			operation: web.Operation{
				ID: "createInstitution", Tag: "Institutions", Summary: "Create an institution",
				Body: institutionBody{}, Answer: institutionView{}, Status: http.StatusCreated,
			},
		},
		{
			pattern: "GET /institutions", permission: anyKey, handle: s.listInstitutions,
			operation: web.Operation{
				ID: "listInstitutions", Tag: "Institutions", Summary: "List institutions",
				Query: listQuery{}, Answer: listView[institutionView]{},
			},
		},
		{
			pattern: "GET /institutions/{id}", permission: anyKey, tenant: inPath, handle: s.getInstitution,
			operation: web.Operation{
				ID: "getInstitution", Tag: "Institutions", Summary: "Get an institution",
				Answer: institutionView{},
			},
		},

		// Who may act for a tenant. A key that only reads does not see the others.
		{
			pattern: "POST /institutions/{id}/api-keys", permission: adminKey, tenant: inPath, handle: s.createKey,
			limited: true,
			operation: web.Operation{
				ID: "createApiKey", Tag: "API keys", Summary: "Create an API key",
				Body: keyBody{}, Answer: newKeyView{}, Status: http.StatusCreated,
			},
		},
		{
			pattern:    "GET /institutions/{id}/api-keys",
			permission: adminKey, tenant: existingInPath, handle: s.listKeys,
			operation: web.Operation{
				ID: "listApiKeys", Tag: "API keys", Summary: "List API keys",
				Query: keyQuery{}, Answer: listView[KeyView]{},
			},
		},
		{
			pattern:    "POST /institutions/{id}/api-keys/{keyId}/revoke",
			permission: adminKey, tenant: inPath, handle: s.revokeKey,
			refusals: codes{escrow.CodeKeyNotFound},
			operation: web.Operation{
				ID: "revokeApiKey", Tag: "API keys", Summary: "Revoke an API key",
				Answer: KeyView{},
			},
		},
		{
			pattern:    "POST /institutions/{id}/api-keys/{keyId}/rotate",
			permission: adminKey, tenant: inPath, handle: s.rotateKey,
			refusals: codes{escrow.CodeKeyNotFound, escrow.CodeKeyInactive}, limited: true,
			operation: web.Operation{
				ID: "rotateApiKey", Tag: "API keys", Summary: "Replace an API key",
				Body: rotationBody{}, BodyOptional: true, Answer: newKeyView{}, Status: http.StatusCreated,
			},
		},

		// A policy has no id: it is that of its region.
		{
			pattern:    "PUT /institutions/{id}/policies/{region}",
			permission: adminKey, tenant: inPath, handle: s.setPolicy,
			operation: web.Operation{
				ID: "setPolicy", Tag: "Policies", Summary: "Set the policy of a region",
				Body: policyBody{}, Answer: policyView{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/policies/{region}",
			permission: anyKey, tenant: existingInPath, handle: s.getPolicy,
			refusals: codes{escrow.CodePolicyNotFound},
			operation: web.Operation{
				ID: "getPolicy", Tag: "Policies", Summary: "Get the policy of a region",
				Answer: policyView{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/policies",
			permission: anyKey, tenant: existingInPath, handle: s.listPolicies,
			operation: web.Operation{
				ID: "listPolicies", Tag: "Policies", Summary: "List policies",
				Query: listQuery{}, Answer: listView[policyView]{},
			},
		},

		// What positions are claims on. Nothing of it ever changes: there is no PUT.
		{
			pattern: "POST /asset-templates", permission: adminKey, tenant: named, handle: s.createTemplate,
			operation: web.Operation{
				ID: "createAssetTemplate", Tag: "Assets", Summary: "Create an asset template",
				Query: tenantQuery{}, Body: templateBody{}, Answer: templateView{}, Status: http.StatusCreated,
			},
		},
		{
			pattern: "GET /asset-templates", permission: anyKey, tenant: existingNamed, handle: s.listTemplates,
			operation: web.Operation{
				ID: "listAssetTemplates", Tag: "Assets", Summary: "List asset templates",
				Query: templateQuery{}, Answer: listView[templateView]{},
			},
		},
		{
			pattern: "GET /asset-templates/{id}", permission: anyKey, tenant: named, handle: s.getTemplate,
			refusals: codes{escrow.CodeTemplateNotFound},
			operation: web.Operation{
				ID: "getAssetTemplate", Tag: "Assets", Summary: "Get an asset template",
				Query: tenantQuery{}, Answer: templateView{},
			},
		},
		{
			pattern: "POST /assets", permission: adminKey, tenant: named, handle: s.createAsset,
			refusals: codes{escrow.CodeTemplateNotFound},
			operation: web.Operation{
				ID: "createAsset", Tag: "Assets", Summary: "Create an asset",
				Query: tenantQuery{}, Body: assetBody{}, Answer: assetView{}, Status: http.StatusCreated,
			},
		},
		{
			pattern: "GET /assets", permission: anyKey, tenant: existingNamed, handle: s.listAssets,
			operation: web.Operation{
				ID: "listAssets", Tag: "Assets", Summary: "List assets",
				Query: assetQuery{}, Answer: listView[assetView]{},
			},
		},
		{
			pattern: "GET /assets/{id}", permission: anyKey, tenant: named, handle: s.getAsset,
			refusals: codes{escrow.CodeAssetNotFound},
			operation: web.Operation{
				ID: "getAsset", Tag: "Assets", Summary: "Get an asset",
				Query: tenantQuery{}, Answer: assetView{},
			},
		},

		// Positions. A change of one is a transition, and each batch a command of its own.
		{
			pattern: "POST /positions", permission: adminKey, tenant: named, handle: s.createPosition,
			refusals: append(codes{escrow.CodeAssetNotFound}, escrow.CreationRefusals()...),
			operation: web.Operation{
				ID: "createPosition", Tag: "Positions", Summary: "Create a position",
				Query: tenantQuery{}, Body: positionBody{}, Answer: positionView{}, Status: http.StatusCreated,
				AnswerHeaders: headers{etagHeader},
			},
		},
		{
			pattern: "GET /positions", permission: anyKey, tenant: existingNamed, handle: s.listPositions,
			operation: web.Operation{
				ID: "listPositions", Tag: "Positions", Summary: "List positions",
				Query: positionQuery{}, Answer: listView[positionView]{},
			},
		},
		{
			pattern: "GET /positions/{id}", permission: anyKey, tenant: named, handle: s.getPosition,
			refusals: codes{escrow.CodePositionNotFound},
			operation: web.Operation{
				ID: "getPosition", Tag: "Positions", Summary: "Get a position with its events",
				Query: tenantQuery{}, Answer: positionView{},
				RequestHeaders: headers{ifNoneMatchHeader}, AnswerHeaders: headers{etagHeader},
				NotModified: "The client has this version.",
			},
		},
		{
			pattern:    "GET /positions/{id}/statement",
			permission: anyKey, tenant: named, handle: s.getPositionStatement,
			refusals: codes{escrow.CodePositionNotFound},
			operation: web.Operation{
				ID: "getPositionStatement", Tag: "Positions", Summary: "Get the account statement of a position",
				Query: positionStatementQuery{}, Answer: positionStatementView{},
				OtherTypes: []string{contentTypeCSV, contentTypeHTML},
			},
		},
		{
			pattern:    "POST /positions/{id}/transition",
			permission: adminKey, tenant: named, handle: s.transitionPosition,
			refusals: append(codes{escrow.CodePositionNotFound}, escrow.TransitionRefusals()...),
			operation: web.Operation{
				ID: "transitionPosition", Tag: "Positions", Summary: "Move a position to another state",
				Query: tenantQuery{}, Body: transitionBody{}, Answer: positionView{},
				RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
			},
		},
		{
			pattern: "POST /positions/batch", permission: adminKey, tenant: named, handle: s.createPositions,
			refusals: codes{escrow.CodeBatchRefused},
			operation: web.Operation{
				ID: "createPositions", Tag: "Positions", Summary: "Create up to 1000 positions",
				Query: tenantQuery{}, Body: positionBatchBody{}, Answer: batchView{},
			},
		},
		{
			pattern:    "POST /positions/transitions/batch",
			permission: adminKey, tenant: named, handle: s.transitionPositions,
			refusals: codes{escrow.CodeBatchRefused},
			operation: web.Operation{
				ID: "transitionPositions", Tag: "Positions", Summary: "Move up to 1000 positions to other states",
				Query: tenantQuery{}, Body: transitionBatchBody{}, Answer: batchView{},
			},
		},

		// Readings of the journal. Who did what is for admins.
		{
			pattern: "GET /ledger-events", permission: anyKey, tenant: existingNamed, handle: s.listLedgerEvents,
			operation: web.Operation{
				ID: "listLedgerEvents", Tag: "Journal", Summary: "List what happened to positions",
				Query: ledgerQuery{}, Answer: listView[ledgerEventView]{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/balances",
			permission: anyKey, tenant: existingInPath, handle: s.getBalances,
			operation: web.Operation{
				ID: "getBalances", Tag: "Journal", Summary: "Get the trial balance",
				Answer: balancesView{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/statements",
			permission: anyKey, tenant: existingInPath, handle: s.getStatement,
			operation: web.Operation{
				ID: "getStatement", Tag: "Journal", Summary: "Get the account statement of a period",
				Query: statementQuery{}, Answer: statementView{},
				OtherTypes: []string{contentTypeCSV, contentTypeHTML}, AnswerHeaders: headers{linkHeader},
			},
		},
		{
			pattern: "GET /audit-events", permission: adminKey, tenant: existingNamed, handle: s.listAuditEvents,
			operation: web.Operation{
				ID: "listAuditEvents", Tag: "Journal", Summary: "List everything that was done",
				Query: auditQuery{}, Answer: listView[auditEventView]{},
			},
		},

		// The proof of it. What an auditor verifies with takes no key.
		{
			pattern: "GET /keys", permission: public, handle: s.listCheckpointKeys,
			operation: web.Operation{
				ID: "listCheckpointKeys", Tag: "Transparency log", Summary: "List the keys that sign checkpoints",
				Query: listQuery{}, Answer: listView[checkpointKeyView]{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/journal",
			permission: adminKey, tenant: existingInPath, handle: s.listJournal,
			operation: web.Operation{
				ID: "listJournal", Tag: "Transparency log", Summary: "List the journal as it is hashed",
				Query: listQuery{}, Answer: listView[journalEntryView]{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/journal/checkpoint",
			permission: anyKey, tenant: existingInPath, handle: s.getCheckpoint,
			refusals: codes{escrow.CodeCheckpointNotFound},
			operation: web.Operation{
				ID: "getCheckpoint", Tag: "Transparency log", Summary: "Get a checkpoint",
				Query: checkpointQuery{}, Answer: checkpointView{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/journal/checkpoints",
			permission: anyKey, tenant: existingInPath, handle: s.listCheckpoints,
			operation: web.Operation{
				ID: "listCheckpoints", Tag: "Transparency log", Summary: "List checkpoints",
				Query: pageQuery{}, Answer: listView[checkpointView]{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/journal/proofs/inclusion",
			permission: anyKey, tenant: existingInPath, handle: s.proveInclusion,
			refusals: codes{escrow.CodeCheckpointNotFound, escrow.CodeEntryNotFound},
			operation: web.Operation{
				ID: "proveInclusion", Tag: "Transparency log", Summary: "Prove that an entry is in the journal",
				Query: inclusionQuery{}, Answer: inclusionView{},
			},
		},
		{
			pattern:    "GET /institutions/{id}/journal/proofs/consistency",
			permission: anyKey, tenant: existingInPath, handle: s.proveConsistency,
			refusals: codes{escrow.CodeCheckpointNotFound},
			operation: web.Operation{
				ID: "proveConsistency", Tag: "Transparency log", Summary: "Prove that the journal has only grown",
				Query: consistencyQuery{}, Answer: consistencyView{},
			},
		},
	}
}
