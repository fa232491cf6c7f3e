package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// movings are the permissions of transitions. Which one it takes hangs on the new state, and is
// checked again with the command.
var movings = []escrow.Permission{
	escrow.PermissionPositionsFund, escrow.PermissionPositionsRelease, escrow.PermissionPositionsCancel,
}

// table is every route there is, in the order of their groups.
func (s *server) table() []route {
	// An operator who does not want strangers to read the documentation asks for a key.
	docs := public
	if !s.config.PublicDocs {
		docs = anyKey
	}

	return append([]route{
		// The service itself. Probes ask without a key, and as often as they like.
		{pattern: "GET /health", access: public, probe: true, handle: s.health, operation: healthOperation},
		{pattern: "GET /ready", access: public, probe: true, handle: s.ready, operation: readyOperation},
		{
			pattern: "GET /metrics", access: metricsAccess, probe: true,
			handle: s.showMetrics, operation: showMetricsOperation,
		},
		// Some collectors are set up for this path.
		{
			pattern: "GET /metrics/prometheus", access: metricsAccess, probe: true, unlisted: true,
			handle: s.showMetrics, operation: showMetricsOperation,
		},
		{
			pattern: "GET /openapi.json", access: docs, keyOptional: true,
			handle: s.openAPI, operation: openAPIOperation,
		},
		{pattern: "GET /docs", access: docs, keyOptional: true, handle: s.docsPage, operation: docsPageOperation},
		{pattern: "GET /{$}", access: public, unlisted: true, handle: s.toDocs},
		{pattern: "GET /docs/{$}", access: public, unlisted: true, handle: s.toDocs},
		{pattern: "GET /favicon.ico", access: public, unlisted: true, handle: s.icon},
		{
			pattern: "GET /docs/{file}", access: docs, keyOptional: true,
			handle: s.docsFile, operation: docsFileOperation,
		},

		// Tenants. Only the operator makes them; like keys, which stay for good, at a
		// stricter rate.
		{
			pattern: "POST /institutions", access: takes(escrow.PermissionInstitutionsCreate), limited: true,
			handle: s.createInstitution, operation: createInstitutionOperation,
		},
		{
			pattern: "GET /institutions", access: takes(escrow.PermissionInstitutionsRead), large: true,
			handle: s.listInstitutions, operation: listInstitutionsOperation,
		},
		{
			pattern: "GET /institutions/{id}", access: takes(escrow.PermissionInstitutionsRead), tenant: inPath,
			handle: s.getInstitution, operation: getInstitutionOperation,
		},

		{
			pattern: "PATCH /institutions/{id}", access: takes(escrow.PermissionInstitutionsUpdate), tenant: inPath,
			handle: s.updateInstitution, operation: updateInstitutionOperation,
		},
		{
			pattern: "POST /institutions/{id}/close",
			access:  takes(escrow.PermissionInstitutionsUpdate), tenant: inPath,
			handle: s.closeInstitution, operation: closeInstitutionOperation,
		},

		// Who may act for a tenant. A key that only reads does not see the others.
		{
			pattern: "POST /institutions/{id}/api-keys",
			access:  takes(escrow.PermissionKeysManage), tenant: inPath, limited: true,
			handle: s.createKey, operation: createKeyOperation,
		},
		{
			pattern: "GET /institutions/{id}/api-keys",
			access:  takesWhole(escrow.PermissionKeysRead), tenant: existingInPath, large: true,
			handle: s.listKeys, operation: listKeysOperation,
		},
		{
			pattern: "PATCH /institutions/{id}/api-keys/{keyId}",
			access:  takes(escrow.PermissionKeysManage), tenant: inPath,
			handle: s.updateKey, operation: updateKeyOperation,
		},
		{
			pattern: "POST /institutions/{id}/api-keys/{keyId}/revoke",
			access:  takes(escrow.PermissionKeysManage), tenant: inPath,
			atOnce: true, handle: s.revokeKey, operation: revokeKeyOperation,
		},
		{
			pattern: "POST /institutions/{id}/api-keys/{keyId}/rotate",
			access:  takes(escrow.PermissionKeysManage), tenant: inPath,
			limited: true, handle: s.rotateKey, operation: rotateKeyOperation,
		},

		// People come from an identity provider, and are made by their first login.
		{
			pattern: "PUT /institutions/{id}/identity-provider",
			access:  takes(escrow.PermissionIdentitySet), tenant: inPath, takesSecret: true,
			handle: s.setProvider, operation: setProviderOperation,
		},
		{
			pattern: "GET /institutions/{id}/identity-provider",
			access:  takesWhole(escrow.PermissionUsersRead), tenant: existingInPath,
			handle: s.getProvider, operation: getProviderOperation,
		},
		{
			pattern: "DELETE /institutions/{id}/identity-provider",
			access:  takes(escrow.PermissionIdentitySet), tenant: inPath,
			atOnce: true, handle: s.removeProvider, operation: removeProviderOperation,
		},
		{
			pattern: "GET /institutions/{id}/users",
			access:  takesWhole(escrow.PermissionUsersRead), tenant: existingInPath, large: true,
			handle: s.listUsers, operation: listUsersOperation,
		},
		{
			pattern: "GET /institutions/{id}/users/{userId}",
			access:  takesWhole(escrow.PermissionUsersRead), tenant: existingInPath,
			handle: s.getUser, operation: getUserOperation,
		},
		{
			pattern: "POST /institutions/{id}/users/{userId}/suspend",
			access:  takes(escrow.PermissionUsersManage), tenant: inPath,
			atOnce: true, handle: s.suspendUser, operation: suspendUserOperation,
		},
		{
			pattern: "POST /institutions/{id}/users/{userId}/restore",
			access:  takes(escrow.PermissionUsersManage), tenant: inPath,
			handle: s.restoreUser, operation: restoreUserOperation,
		},
		{pattern: "GET /me", access: anyKey, handle: s.getMe, operation: getMeOperation},

		// Sessions of browsers. No journal tells of them, and who has one may end it.
		{
			pattern: "POST /sessions", access: anyKey, apart: true,
			handle: s.createSession, operation: createSessionOperation,
		},
		{pattern: "GET /sessions", access: anyKey, handle: s.listOwnSessions, operation: listOwnSessionsOperation},
		{
			pattern: "DELETE /sessions/{id}", access: anyKey, apart: true,
			handle: s.endOwnSession, operation: endOwnSessionOperation,
		},
		{
			pattern: "GET /institutions/{id}/sessions",
			access:  takesWhole(escrow.PermissionUsersRead), tenant: existingInPath,
			handle: s.listSessions, operation: listSessionsOperation,
		},
		{
			pattern: "DELETE /institutions/{id}/sessions/{sessionId}",
			access:  takesWhole(escrow.PermissionUsersManage), tenant: existingInPath, apart: true,
			handle: s.endSession, operation: endSessionOperation,
		},
		{pattern: "POST /auth/logout", access: anyKey, apart: true, handle: s.logout, operation: logoutOperation},
		// Browsers are sent here and there; no client calls these.
		{pattern: "GET /auth/login", access: public, unlisted: true, handle: s.beginLogin},
		{pattern: "GET " + callbackPath, access: public, unlisted: true, handle: s.finishLogin},
		{pattern: "GET " + callbackPath + "/{id}", access: public, unlisted: true, handle: s.finishLogin},

		// What keys may do. The built-in roles are those of all institutions.
		{
			pattern: "PUT /institutions/{id}/roles/{name}", access: takes(escrow.PermissionRolesManage), tenant: inPath,
			handle: s.setRole, operation: setRoleOperation,
		},
		{
			pattern: "GET /institutions/{id}/roles/{name}", access: takes(escrow.PermissionRolesRead),
			tenant: existingInPath, handle: s.getRole, operation: getRoleOperation,
		},
		{
			pattern: "GET /institutions/{id}/roles", access: takes(escrow.PermissionRolesRead), tenant: existingInPath,
			handle: s.listRoles, operation: listRolesOperation,
		},

		// A policy has no id: it is that of its region.
		{
			pattern: "PUT /institutions/{id}/policies/{region}",
			access:  takes(escrow.PermissionPoliciesSet), tenant: inPath,
			handle: s.setPolicy, operation: setPolicyOperation,
		},
		{
			pattern: "GET /institutions/{id}/policies/{region}",
			access:  takes(escrow.PermissionPoliciesRead), tenant: existingInPath,
			handle: s.getPolicy, operation: getPolicyOperation,
		},
		{
			pattern: "GET /institutions/{id}/policies",
			access:  takes(escrow.PermissionPoliciesRead), tenant: existingInPath,
			handle: s.listPolicies, operation: listPoliciesOperation,
		},

		// What positions are claims on. Its rules never change: there is no PUT.
		{
			pattern: "POST /asset-templates", access: takes(escrow.PermissionTemplatesCreate), tenant: named,
			handle: s.createTemplate, operation: createTemplateOperation,
		},
		{
			pattern: "GET /asset-templates",
			access:  takes(escrow.PermissionTemplatesRead), tenant: existingNamed, large: true,
			handle: s.listTemplates, operation: listTemplatesOperation,
		},
		{
			pattern: "GET /asset-templates/{id}", access: takes(escrow.PermissionTemplatesRead), tenant: named,
			handle: s.getTemplate, operation: getTemplateOperation,
		},
		{
			pattern: "PATCH /asset-templates/{id}", access: takes(escrow.PermissionTemplatesUpdate), tenant: named,
			handle: s.updateTemplate, operation: updateTemplateOperation,
		},
		{
			pattern: "POST /asset-templates/{id}/close", access: takes(escrow.PermissionTemplatesUpdate), tenant: named,
			handle: s.closeTemplate, operation: closeTemplateOperation,
		},
		{
			pattern: "POST /assets", access: takes(escrow.PermissionAssetsCreate), tenant: named,
			handle: s.createAsset, operation: createAssetOperation,
		},
		{
			pattern: "GET /assets", access: takes(escrow.PermissionAssetsRead), tenant: existingNamed, large: true,
			handle: s.listAssets, operation: listAssetsOperation,
		},
		{
			pattern: "GET /assets/{id}", access: takes(escrow.PermissionAssetsRead), tenant: named,
			handle: s.getAsset, operation: getAssetOperation,
		},
		{
			pattern: "PATCH /assets/{id}", access: takes(escrow.PermissionAssetsUpdate), tenant: named,
			handle: s.updateAsset, operation: updateAssetOperation,
		},
		{
			pattern: "POST /assets/{id}/close", access: takes(escrow.PermissionAssetsUpdate), tenant: named,
			handle: s.closeAsset, operation: closeAssetOperation,
		},

		// Positions. A change of one is a transition, and each batch a command of its own.
		{
			pattern: "POST /positions", access: takes(escrow.PermissionPositionsCreate), tenant: named,
			handle: s.createPosition, operation: createPositionOperation,
		},
		{
			pattern: "GET /positions",
			access:  takes(escrow.PermissionPositionsRead), tenant: existingNamed, large: true,
			handle: s.listPositions, operation: listPositionsOperation,
		},
		{
			pattern: "GET /positions/{id}", access: takes(escrow.PermissionPositionsRead), tenant: named,
			handle: s.getPosition, operation: getPositionOperation,
		},
		{
			pattern: "GET /positions/{id}/statement",
			access:  takes(escrow.PermissionPositionsRead), tenant: named, large: true,
			handle: s.getPositionStatement, operation: getPositionStatementOperation,
		},
		{
			pattern: "GET /positions/{id}/disclosure", access: takes(escrow.PermissionPersonalDataRead), tenant: named,
			handle: s.disclosePositionEntry, operation: disclosePositionEntryOperation,
		},
		{
			pattern: "POST /positions/{id}/transition", access: takes(movings...), tenant: named,
			handle: s.transitionPosition, operation: transitionPositionOperation,
		},
		{
			pattern: "POST /positions/batch", access: takes(escrow.PermissionPositionsCreate), tenant: named,
			handle: s.createPositions, operation: createPositionsOperation,
		},
		{
			pattern: "POST /positions/transitions/batch", access: takes(movings...), tenant: named,
			handle: s.transitionPositions, operation: transitionPositionsOperation,
		},

		// What is about persons can be erased once a position has come to its end.
		{
			pattern: "POST /positions/{id}/erase", access: takes(escrow.PermissionPositionsErase), tenant: named,
			handle: s.erasePosition, operation: erasePositionOperation,
		},
		{
			pattern: "POST /erasures", access: takesWhole(escrow.PermissionPositionsErase), tenant: named,
			handle: s.createErasure, operation: createErasureOperation,
		},
		{
			pattern: "GET /erasures", access: takesWhole(escrow.PermissionAuditRead), tenant: existingNamed,
			handle: s.listErasures, operation: listErasuresOperation,
		},
		{
			pattern: "GET /erasures/{id}", access: takesWhole(escrow.PermissionAuditRead), tenant: named,
			handle: s.getErasure, operation: getErasureOperation,
		},

		{
			pattern: "GET /holders/{reference}/data",
			access:  takes(escrow.PermissionPersonalDataRead), tenant: existingNamed, large: true,
			handle: s.getHolderData, operation: getHolderDataOperation,
		},

		// Readings of the journal. Who did what is for admins.
		{
			pattern: "GET /ledger-events",
			access:  takes(escrow.PermissionPositionsRead), tenant: existingNamed, large: true,
			handle: s.listLedgerEvents, operation: listLedgerEventsOperation,
		},
		{
			pattern: "GET /institutions/{id}/balances",
			access:  takesWhole(escrow.PermissionReportsRead), tenant: existingInPath,
			handle: s.getBalances, operation: getBalancesOperation,
		},
		{
			pattern: "GET /institutions/{id}/statements",
			access:  takesWhole(escrow.PermissionReportsRead), tenant: existingInPath, large: true,
			handle: s.getStatement, operation: getStatementOperation,
		},
		{
			pattern: "GET /audit-events", tenant: existingNamed,
			access: takesWhole(escrow.PermissionAuditRead).andParts(escrow.PermissionSecurityEventsRead),
			handle: s.listAuditEvents, operation: listAuditEventsOperation,
		},

		// The proof of it. What an auditor verifies with takes no key.
		{
			pattern: "GET /keys", access: public,
			handle: s.listCheckpointKeys, operation: listCheckpointKeysOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal", tenant: existingInPath, large: true,
			access: takesWhole(escrow.PermissionJournalRead).andParts(escrow.PermissionPersonalDataRead),
			handle: s.listJournal, operation: listJournalOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/checkpoint",
			access:  takes(escrow.PermissionProofsRead), tenant: existingInPath,
			handle: s.getCheckpoint, operation: getCheckpointOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/checkpoints",
			access:  takes(escrow.PermissionProofsRead), tenant: existingInPath,
			large: true, handle: s.listCheckpoints, operation: listCheckpointsOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/proofs/inclusion",
			access:  takes(escrow.PermissionProofsRead), tenant: existingInPath,
			handle: s.proveInclusion, operation: proveInclusionOperation,
		},
		{
			pattern: "GET /institutions/{id}/journal/proofs/consistency",
			access:  takes(escrow.PermissionProofsRead), tenant: existingInPath,
			handle: s.proveConsistency, operation: proveConsistencyOperation,
		},
	}, append(s.holdRoutes(), s.approvalRoutes()...)...)
}
