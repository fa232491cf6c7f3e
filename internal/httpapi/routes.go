package httpapi

// table is every route there is, in the order of their groups.
func (s *server) table() []route {
	// An operator who does not want strangers to read the documentation asks for a key.
	docs := public
	if !s.config.PublicDocs {
		docs = anyKey
	}

	return []route{
		// The service itself. Probes ask without a key, and as often as they like.
		{pattern: "GET /health", permission: public, probe: true, handle: s.health, operation: healthOperation},
		{pattern: "GET /ready", permission: public, probe: true, handle: s.ready, operation: readyOperation},
		{
			pattern: "GET /metrics", permission: metricsKey, probe: true,
			handle: s.showMetrics, operation: showMetricsOperation,
		},
		// Some collectors are set up for this path.
		{
			pattern: "GET /metrics/prometheus", permission: metricsKey, probe: true, unlisted: true,
			handle: s.showMetrics, operation: showMetricsOperation,
		},
		{
			pattern: "GET /openapi.json", permission: docs, keyOptional: true,
			handle: s.openAPI, operation: openAPIOperation,
		},
		{pattern: "GET /docs", permission: docs, keyOptional: true, handle: s.docsPage, operation: docsPageOperation},
		{pattern: "GET /{$}", permission: public, unlisted: true, handle: s.toDocs},
		{pattern: "GET /docs/{$}", permission: public, unlisted: true, handle: s.toDocs},
		{pattern: "GET /favicon.ico", permission: public, unlisted: true, handle: s.icon},
		{
			pattern: "GET /docs/{file}", permission: docs, keyOptional: true,
			handle: s.docsFile, operation: docsFileOperation,
		},

		// Tenants. Only the operator makes them; like keys, which stay for good, at a
		// stricter rate.
		{
			pattern: "POST /institutions", permission: rootKey, limited: true,
			handle: s.createInstitution, operation: createInstitutionOperation,
		},
		{
			pattern: "GET /institutions", permission: anyKey, large: true,
			handle: s.listInstitutions, operation: listInstitutionsOperation,
		},
		{
			pattern: "GET /institutions/{id}", permission: anyKey, tenant: inPath,
			handle: s.getInstitution, operation: getInstitutionOperation,
		},

		{
			pattern: "PATCH /institutions/{id}", permission: rootKey, tenant: inPath,
			handle: s.updateInstitution, operation: updateInstitutionOperation,
		},
		{
			pattern: "POST /institutions/{id}/close", permission: rootKey, tenant: inPath,
			handle: s.closeInstitution, operation: closeInstitutionOperation,
		},

		// Who may act for a tenant. A key that only reads does not see the others.
		{
			pattern: "POST /institutions/{id}/api-keys", permission: adminKey, tenant: inPath, limited: true,
			handle: s.createKey, operation: createKeyOperation,
		},
		{
			pattern: "GET /institutions/{id}/api-keys", permission: adminKey, tenant: existingInPath, large: true,
			handle: s.listKeys, operation: listKeysOperation,
		},
		{
			pattern: "PATCH /institutions/{id}/api-keys/{keyId}", permission: adminKey, tenant: inPath,
			handle: s.updateKey, operation: updateKeyOperation,
		},
		{
			pattern: "POST /institutions/{id}/api-keys/{keyId}/revoke", permission: adminKey, tenant: inPath,
			handle: s.revokeKey, operation: revokeKeyOperation,
		},
		{
			pattern: "POST /institutions/{id}/api-keys/{keyId}/rotate", permission: adminKey, tenant: inPath,
			limited: true, handle: s.rotateKey, operation: rotateKeyOperation,
		},

		// A policy has no id: it is that of its region.
		{
			pattern: "PUT /institutions/{id}/policies/{region}", permission: adminKey, tenant: inPath,
			handle: s.setPolicy, operation: setPolicyOperation,
		},
		{
			pattern: "GET /institutions/{id}/policies/{region}", permission: anyKey, tenant: existingInPath,
			handle: s.getPolicy, operation: getPolicyOperation,
		},
		{
			pattern: "GET /institutions/{id}/policies", permission: anyKey, tenant: existingInPath,
			handle: s.listPolicies, operation: listPoliciesOperation,
		},

		// What positions are claims on. Its rules never change: there is no PUT.
		{
			pattern: "POST /asset-templates", permission: adminKey, tenant: named,
			handle: s.createTemplate, operation: createTemplateOperation,
		},
		{
			pattern: "GET /asset-templates", permission: anyKey, tenant: existingNamed, large: true,
			handle: s.listTemplates, operation: listTemplatesOperation,
		},
		{
			pattern: "GET /asset-templates/{id}", permission: anyKey, tenant: named,
			handle: s.getTemplate, operation: getTemplateOperation,
		},
		{
			pattern: "PATCH /asset-templates/{id}", permission: adminKey, tenant: named,
			handle: s.updateTemplate, operation: updateTemplateOperation,
		},
		{
			pattern: "POST /asset-templates/{id}/close", permission: adminKey, tenant: named,
			handle: s.closeTemplate, operation: closeTemplateOperation,
		},
		{
			pattern: "POST /assets", permission: adminKey, tenant: named,
			handle: s.createAsset, operation: createAssetOperation,
		},
		{
			pattern: "GET /assets", permission: anyKey, tenant: existingNamed, large: true,
			handle: s.listAssets, operation: listAssetsOperation,
		},
		{
			pattern: "GET /assets/{id}", permission: anyKey, tenant: named,
			handle: s.getAsset, operation: getAssetOperation,
		},
		{
			pattern: "PATCH /assets/{id}", permission: adminKey, tenant: named,
			handle: s.updateAsset, operation: updateAssetOperation,
		},
		{
			pattern: "POST /assets/{id}/close", permission: adminKey, tenant: named,
			handle: s.closeAsset, operation: closeAssetOperation,
		},

		// Positions. A change of one is a transition, and each batch a command of its own.
		{
			pattern: "POST /positions", permission: adminKey, tenant: named,
			handle: s.createPosition, operation: createPositionOperation,
		},
		{
			pattern: "GET /positions", permission: anyKey, tenant: existingNamed, large: true,
			handle: s.listPositions, operation: listPositionsOperation,
		},
		{
			pattern: "GET /positions/{id}", permission: anyKey, tenant: named,
			handle: s.getPosition, operation: getPositionOperation,
		},
		{
			pattern: "GET /positions/{id}/statement", permission: anyKey, tenant: named, large: true,
			handle: s.getPositionStatement, operation: getPositionStatementOperation,
		},
		{
			pattern: "GET /positions/{id}/disclosure", permission: adminKey, tenant: named,
			handle: s.disclosePositionEntry, operation: disclosePositionEntryOperation,
		},
		{
			pattern: "POST /positions/{id}/transition", permission: adminKey, tenant: named,
			handle: s.transitionPosition, operation: transitionPositionOperation,
		},
		{
			pattern: "POST /positions/batch", permission: adminKey, tenant: named,
			handle: s.createPositions, operation: createPositionsOperation,
		},
		{
			pattern: "POST /positions/transitions/batch", permission: adminKey, tenant: named,
			handle: s.transitionPositions, operation: transitionPositionsOperation,
		},

		// What is about persons can be erased once a position has come to its end.
		{
			pattern: "POST /positions/{id}/erase", permission: adminKey, tenant: named,
			handle: s.erasePosition, operation: erasePositionOperation,
		},
		{
			pattern: "POST /erasures", permission: adminKey, tenant: named,
			handle: s.createErasure, operation: createErasureOperation,
		},
		{
			pattern: "GET /erasures", permission: adminKey, tenant: existingNamed,
			handle: s.listErasures, operation: listErasuresOperation,
		},
		{
			pattern: "GET /erasures/{id}", permission: adminKey, tenant: named,
			handle: s.getErasure, operation: getErasureOperation,
		},

		{
			pattern: "GET /holders/{reference}/data", permission: adminKey, tenant: existingNamed, large: true,
			handle: s.getHolderData, operation: getHolderDataOperation,
		},

		// Readings of the journal. Who did what is for admins.
		{
			pattern: "GET /ledger-events", permission: anyKey, tenant: existingNamed, large: true,
			handle: s.listLedgerEvents, operation: listLedgerEventsOperation,
		},
		{
			pattern: "GET /institutions/{id}/balances", permission: anyKey, tenant: existingInPath,
			handle: s.getBalances, operation: getBalancesOperation,
		},
		{
			pattern: "GET /institutions/{id}/statements", permission: anyKey, tenant: existingInPath, large: true,
			handle: s.getStatement, operation: getStatementOperation,
		},
		{
			pattern: "GET /audit-events", permission: adminKey, tenant: existingNamed,
			handle: s.listAuditEvents, operation: listAuditEventsOperation,
		},

		// The proof of it. What an auditor verifies with takes no key.
		{
			pattern: "GET /keys", permission: public,
			handle: s.listCheckpointKeys, operation: listCheckpointKeysOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal", permission: adminKey, tenant: existingInPath, large: true,
			handle: s.listJournal, operation: listJournalOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/checkpoint", permission: anyKey, tenant: existingInPath,
			handle: s.getCheckpoint, operation: getCheckpointOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/checkpoints", permission: anyKey, tenant: existingInPath,
			large: true, handle: s.listCheckpoints, operation: listCheckpointsOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/proofs/inclusion", permission: anyKey, tenant: existingInPath,
			handle: s.proveInclusion, operation: proveInclusionOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/proofs/consistency", permission: anyKey, tenant: existingInPath,
			handle: s.proveConsistency, operation: proveConsistencyOperation,
		},
	}
}
