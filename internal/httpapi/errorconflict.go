package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// conflictKinds are the errors of a status from 409 on: of requests that could be carried out another
// time, and of the server.
func conflictKinds() []ErrorKind {
	return []ErrorKind{
		{
			Code: escrow.CodeEncryptionKeyMissing, Status: 409, Title: "Encryption key missing",
			Meaning: "The server has no encryption key, or not that of the secret, and keeps or uses no secret " +
				"without it. To try again does not help: the operator has to set ENCRYPTION_KEY or, where the key is " +
				"lost, the secret has to be set again.",
		},
		{
			Code: codeLoginNotConfigured, Status: 409, Title: "Logins not configured",
			Meaning: "The server takes no logins with a browser: the operator has not set PUBLIC_URL, or no " +
				"encryption key.",
		},
		{
			Code: escrow.CodeInvalidTransition, Status: 409, Title: "Invalid transition",
			Meaning: "The position's state does not allow this one next; the detail names both and the states " +
				"that are allowed.",
		},
		{
			Code: escrow.CodePositionExpired, Status: 409, Title: "Position expired",
			Meaning: "The position is past its expiresAt and can only become EXPIRED or CANCELLED.",
		},
		{
			Code: escrow.CodePositionEventLimit, Status: 409, Title: "Too many events",
			Meaning: "The position has as many events as it can have; only a final state is possible.",
		},
		{
			Code: escrow.CodePositionHistoryLimit, Status: 409, Title: "History too large",
			Meaning: "The position's events would have more than 1 MiB of metadata and reasons; only its end may.",
		},
		{
			Code: escrow.CodePositionOpen, Status: 409, Title: "Position open",
			Meaning: "The position is not final yet: what is private of it is still needed, and cannot be erased.",
		},
		{
			Code: escrow.CodeRetentionPeriod, Status: 409, Title: "Retention period",
			Meaning: "The position or approval is kept for a time after its last change; the detail says until when.",
		},
		{
			Code: escrow.CodePositionOnHold, Status: 409, Title: "Position on hold",
			Meaning: "What would move is on hold; the detail names the holds.",
		},
		{
			Code: escrow.CodeHoldLifted, Status: 409, Title: "Hold lifted",
			Meaning: "The hold was lifted before; the detail says when.",
		},
		{
			Code: escrow.CodeHoldLimit, Status: 409, Title: "Too many holds",
			Meaning: "The position is under as many holds as it can be at the same time.",
		},
		{
			Code: escrow.CodeUnderLegalHold, Status: 409, Title: "Under a legal hold",
			Meaning: "A legal hold keeps the position's data from erasure; the detail names it.",
		},
		{
			Code: escrow.CodeDataErased, Status: 409, Title: "Data erased",
			Meaning: "A value that is to be disclosed was erased; the detail names its member.",
		},
		{
			Code: escrow.CodeCheckpointPending, Status: 409, Title: "Checkpoint pending",
			Meaning: "No checkpoint covers the entry yet; the detail says within what time one is signed.",
		},
		{
			Code: escrow.CodeApprovalPending, Status: 409, Title: "Approval pending",
			Meaning: "The resource waits for an approval of the same kind already, or what the position holds is " +
				"asked for; detail names the approval.",
		},
		{
			Code: escrow.CodeApprovalClosed, Status: 409, Title: "Approval closed",
			Meaning: "The approval is not pending any more; detail says what has become of it.",
		},
		{
			Code: escrow.CodeApprovalOpen, Status: 409, Title: "Approval open",
			Meaning: "The approval is pending: what is private of it is still needed, and cannot be erased.",
		},
		{
			Code: escrow.CodeApprovalDigest, Status: 409, Title: "Digest mismatch",
			Meaning: "The digest is not that of what is asked for: it is another approval than was shown.",
		},
		{
			Code: escrow.CodeApprovalLimit, Status: 409, Title: "Too many approvals",
			Meaning: "The institution has as many pending approvals as it can have.",
		},
		{
			Code: escrow.CodeApproversTooFew, Status: 409, Title: "Too few approvers",
			Meaning: "The rule asks for more persons of a role than there are; detail names the rule and the role.",
		},
		{
			Code: escrow.CodeKeyInactive, Status: 409, Title: "API key inactive",
			Meaning: "The API key is revoked or has expired and cannot be rotated.",
		},
		{
			Code: escrow.CodeKeyRotated, Status: 409, Title: "API key rotated",
			Meaning: "The API key was rotated before; detail names the key that takes its place.",
		},
		{
			Code: escrow.CodeRoleLimit, Status: 409, Title: "Too many roles",
			Meaning: "The institution has as many roles of its own as it can have.",
		},
		{
			Code: escrow.CodeKeyLimit, Status: 409, Title: "Too many API keys",
			Meaning: "The institution has as many active API keys as it can have.",
		},
		{
			Code: escrow.CodeKeySecretGone, Status: 409, Title: "API key secret gone",
			Meaning: "The repeated request has made an API key whose secret can no longer be shown; revoke the key.",
		},
		{
			Code: escrow.CodeInstitutionClosed, Status: 409, Title: "Institution closed",
			Meaning: "The institution was closed: it can be read, and what has begun there can end.",
		},
		{
			Code: escrow.CodeInstitutionHoldsMoney, Status: 409, Title: "Institution holds money",
			Meaning: "Positions of the institution hold money, or are moving: it cannot be closed yet.",
		},
		{
			Code: escrow.CodeTemplateClosed, Status: 409, Title: "Asset template closed",
			Meaning: "The asset template was closed and takes no new assets.",
		},
		{
			Code: escrow.CodeAssetClosed, Status: 409, Title: "Asset closed",
			Meaning: "The asset was closed and takes no new positions.",
		},
		{
			Code: escrow.CodeExternalReference, Status: 409, Title: "External reference taken",
			Meaning: "The asset's template has `uniqueExternalReference`, and another position of the template has " +
				"the same externalReference; detail names it.",
		},
		{
			Code: escrow.CodeVersionMismatch, Status: 412, Title: "Version mismatch",
			Meaning: "The resource no longer has the version that If-Match, or an item's ifVersion, names.",
		},
		{
			Code: codeBodyTooLarge, Status: 413, Title: "Body too large",
			Meaning: "The body has more than 1 MiB.",
		},
		{
			Code: codeUnsupportedMedia, Status: 415, Title: "Unsupported media type",
			Meaning: "The body is not declared as application/json in UTF-8.",
		},
		{
			Code: codeExpectationFailed, Status: 417, Title: "Expectation failed",
			Meaning: "The request has an Expect header of another value than 100-continue. The connection is closed.",
		},
		{
			Code: escrow.CodeInvalidInput, Status: 422, Title: "Invalid input",
			Meaning: "Fields or parameters are not valid; errors lists all of them.",
		},
		{
			Code: escrow.CodeIdempotencyKeyReused, Status: 422, Title: "Idempotency key reused",
			Meaning: "The Idempotency-Key was used for another request.",
		},
		{
			Code: escrow.CodeTransitionAmount, Status: 422, Title: "Invalid amount of a transition",
			Meaning: "The amount is not what this transition can move.",
		},
		{
			Code: escrow.CodeHoldAmount, Status: 422, Title: "Invalid amount of a hold",
			Meaning: "The position does not hold as much that no other hold is on.",
		},
		{
			Code: escrow.CodeTemplateCurrency, Status: 422, Title: "Currency refused by template",
			Meaning: "The asset's template has another currency.",
		},
		{
			Code: escrow.CodeTemplateMinAmount, Status: 422, Title: "Amount below the template's minimum",
			Meaning: "The amount is below the minimum of the asset's template.",
		},
		{
			Code: escrow.CodeTemplateMaxAmount, Status: 422, Title: "Amount above the template's maximum",
			Meaning: "The amount is above the maximum of the asset's template.",
		},
		{
			Code: escrow.CodeTemplateTenor, Status: 422, Title: "Expiry beyond the template's tenor",
			Meaning: "The expiresAt is later than the asset's template allows.",
		},
		{
			Code: escrow.CodeTemplateRetainage, Status: 422, Title: "Retainage",
			Meaning: "The release would leave less held than the asset's template retains until RELEASED.",
		},
		{
			Code: escrow.CodePolicyMinAmount, Status: 422, Title: "Amount below the policy's minimum",
			Meaning: "The amount is below the minimum of the institution's policy for the region.",
		},
		{
			Code: escrow.CodePolicyMaxAmount, Status: 422, Title: "Amount above the policy's maximum",
			Meaning: "The amount is above the maximum of the institution's policy for the region.",
		},
		{
			Code: escrow.CodePolicyCurrency, Status: 422, Title: "Currency refused by policy",
			Meaning: "The institution's policy for the region does not allow the currency.",
		},
		{
			Code: escrow.CodeBatchRefused, Status: 422, Title: "Batch refused",
			Meaning: "Items of an atomic batch are refused; results tells which, and why. Nothing was done.",
		},
		{
			Code: escrow.CodeNotApplied, Status: 424, Title: "Not applied",
			Meaning: "The item is right, but others of its atomic batch are refused. It is never the answer of a " +
				"request, only that of an item.",
		},
		{
			Code: codeRateLimited, Status: 429, Title: "Rate limited",
			Meaning: "The key, or the address, sends more than it may; Retry-After says when to go on. Nothing was " +
				"done.",
		},
		{
			Code: codeHeadersTooLarge, Status: 431, Title: "Headers too large",
			Meaning: "The request's first line and headers have more than 36 KiB. The connection is closed.",
		},

		{
			Code: escrow.CodeInternal, Status: 500, Title: "Internal error",
			Meaning: "A fault of the server; its log has the request id. Whether a command was carried out can be " +
				"found out by repeating it with its Idempotency-Key.",
		},
		{
			Code: codeUnsupportedTransfer, Status: 501, Title: "Unsupported transfer encoding",
			Meaning: "The request has a transfer encoding other than chunked. The connection is closed.",
		},
		{
			Code: escrow.CodeOverloaded, Status: 503, Title: "Overloaded",
			Meaning: "The server's queue is full. Nothing was done; retry after Retry-After.",
		},
		{
			Code: escrow.CodeRequestTimeout, Status: 503, Title: "Request timeout",
			Meaning: "The request's turn did not come in time. Nothing was done.",
		},
		{
			Code: escrow.CodeShuttingDown, Status: 503, Title: "Shutting down",
			Meaning: "The server is shutting down. Nothing was done; another instance may take the request.",
		},
		{
			Code: escrow.CodeStoreUnavailable, Status: 503, Title: "Store unavailable",
			Meaning: "The database cannot be reached or is not migrated. Nothing was done.",
		},
		{
			Code: codeProviderUnavailable, Status: 503, Title: "Identity provider unavailable",
			Meaning: "The identity provider cannot be asked, and the token's key is not known yet. Nothing was done; " +
				"retry after Retry-After.",
		},
		{
			Code: escrow.CodeHistoryLost, Status: 503, Title: "History lost",
			Meaning: "The database has gone back: entries of the institution's journal that were acknowledged are no " +
				"longer there. It takes no commands until the operator has accepted the loss. Nothing was done.",
		},
		{
			Code: escrow.CodeOutcomeUnknown, Status: 503, Title: "Outcome unknown",
			Meaning: "The server lost the database in the middle of a commit. Repeat the request with the same " +
				"Idempotency-Key to find out what became of it.",
		},
		{
			Code: codeUnsupportedVersion, Status: 505, Title: "Unsupported HTTP version",
			Meaning: "The request is of another version of HTTP than 1.0 and 1.1. The connection is closed.",
		},
	}
}
