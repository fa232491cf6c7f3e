package httpapi

import (
	"slices"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// The refusals that the API makes before a request reaches the domain. They are codes like
// the domain's: clients need not know who refused.
const (
	codeMalformedRequest escrow.Code = "malformed_request"
	codeMalformedBody    escrow.Code = web.CodeMalformedBody
	codeUnauthorized     escrow.Code = "unauthorized"
	codeAddressForbidden escrow.Code = "address_not_allowed"
	codeRouteNotFound    escrow.Code = "route_not_found"
	codeMethodNotAllowed escrow.Code = "method_not_allowed"
	codeNotAcceptable    escrow.Code = "not_acceptable"
	codeBodyTimeout      escrow.Code = web.CodeBodyTimeout
	codeBodyTooLarge     escrow.Code = web.CodeBodyTooLarge
	codeUnsupportedMedia escrow.Code = web.CodeUnsupportedMedia
	codeRateLimited      escrow.Code = "rate_limited"
	codeOriginNotAllowed escrow.Code = "origin_not_allowed"

	codeLoginFailed         escrow.Code = "login_failed"
	codeLoginNotConfigured  escrow.Code = "login_not_configured"
	codeProviderUnavailable escrow.Code = "identity_provider_unavailable"

	codeExpectationFailed   escrow.Code = "expectation_failed"
	codeHeadersTooLarge     escrow.Code = "headers_too_large"
	codeUnsupportedTransfer escrow.Code = "unsupported_transfer_encoding"
	codeUnsupportedVersion  escrow.Code = "unsupported_http_version"
)

// ErrorKind is an entry of the table of errors: what a code means, and the status that it
// is answered with. Code and Status are a contract, Title and Meaning are for people.
type ErrorKind struct {
	Code    escrow.Code
	Status  int
	Title   string
	Meaning string
}

// ErrorKinds lists every error that the API answers, by status. It is the only place that
// knows a code's status; docs/errors.md and the OpenAPI document are made from it.
func ErrorKinds() []ErrorKind { return slices.Concat(requestKinds(), conflictKinds()) }

// requestKinds are the errors of a status below 409: of requests that are wrong by themselves, or by who
// sends them.
func requestKinds() []ErrorKind {
	return []ErrorKind{
		{
			Code: codeMalformedRequest, Status: 400, Title: "Malformed request",
			Meaning: "What was sent is no HTTP request: its first line, a header or its length cannot be read. " +
				"The connection is closed.",
		},
		{
			Code: codeMalformedBody, Status: 400, Title: "Malformed body",
			Meaning: "The body is not JSON: a syntax error, a duplicate name, invalid UTF-8, text after the " +
				"value, or a body that broke off.",
		},
		{
			Code: codeLoginFailed, Status: 400, Title: "Login failed",
			Meaning: "The login with a browser cannot be finished: it was begun too long ago or elsewhere, was " +
				"finished before, or the identity provider refused it. Begin again.",
		},
		{
			Code: codeUnauthorized, Status: 401, Title: "Not authenticated",
			Meaning: "No key, token or session was sent, or two different ones.",
		},
		{
			Code: escrow.CodeInvalidKey, Status: 401, Title: "Invalid API key",
			Meaning: "The key is unknown, mistyped, revoked or expired.",
		},
		{
			Code: escrow.CodeInvalidToken, Status: 401, Title: "Invalid token",
			Meaning: "The token is not valid or has expired, or its user is suspended.",
		},
		{
			Code: escrow.CodeTokenIssuerUnknown, Status: 401, Title: "Unknown issuer",
			Meaning: "The token's issuer and audience are those of no institution's identity provider, or not any " +
				"more; or of several, and X-Institution-Id does not say which one is meant.",
		},
		{
			Code: escrow.CodeInvalidSession, Status: 401, Title: "Invalid session",
			Meaning: "The session has ended: by the clock, with its key, user or identity provider, with how the " +
				"operator is configured, or on request.",
		},
		{
			Code: escrow.CodeForbidden, Status: 403, Title: "Forbidden",
			Meaning: "The request names an institution that the caller does not act for, or asks for a session that " +
				"the caller cannot have.",
		},
		{
			Code: escrow.CodePermissionMissing, Status: 403, Title: "Permission missing",
			Meaning: "The caller does not have the permission that this takes, or would give one that it does not " +
				"have; detail names it. Or a person has not come before, and is in no group that has a role.",
		},
		{
			Code: escrow.CodeKeyRestricted, Status: 403, Title: "Key restricted",
			Meaning: "The key is restricted to a part of its institution, or to lower amounts.",
		},
		{
			Code: escrow.CodeApprovalOwn, Status: 403, Title: "Own request",
			Meaning: "Nobody approves what they have asked for or approved already, nor with another key of theirs.",
		},
		{
			Code: escrow.CodeApprovalRole, Status: 403, Title: "Role not asked for",
			Meaning: "The approval asks for people of other roles; detail names them.",
		},
		{
			Code: escrow.CodeBreakGlassForbidden, Status: 403, Title: "Breaking the glass forbidden",
			Meaning: "breakGlass is for the operator alone.",
		},
		{
			Code: codeAddressForbidden, Status: 403, Title: "Address not allowed",
			Meaning: "The key, or a session of it, may not be used from this address.",
		},
		{
			Code: codeOriginNotAllowed, Status: 403, Title: "Origin not allowed",
			Meaning: "The request comes with a session, and not from a page of this server: Origin or " +
				"X-EscrowGrid-Console are missing or wrong, or it crosses sites; or a page of another site begins a " +
				"login in another institution.",
		},

		{
			Code: codeRouteNotFound, Status: 404, Title: "Not found",
			Meaning: "Nothing is at this path.",
		},
		{
			Code: escrow.CodeInstitutionNotFound, Status: 404, Title: "Institution not found",
			Meaning: "There is no such institution, or the key does not act for it.",
		},
		{
			Code: escrow.CodeKeyNotFound, Status: 404, Title: "API key not found",
			Meaning: "The institution has no such API key.",
		},
		{
			Code: escrow.CodeUserNotFound, Status: 404, Title: "User not found",
			Meaning: "The institution has no such user.",
		},
		{
			Code: escrow.CodeProviderNotFound, Status: 404, Title: "Identity provider not found",
			Meaning: "The institution has no identity provider.",
		},
		{
			Code: escrow.CodeSessionNotFound, Status: 404, Title: "Session not found",
			Meaning: "There is no such session, or it was ended.",
		},
		{
			Code: escrow.CodeRoleNotFound, Status: 404, Title: "Role not found",
			Meaning: "There is no such role, neither built in nor the institution's own.",
		},
		{
			Code: escrow.CodePolicyNotFound, Status: 404, Title: "Policy not found",
			Meaning: "The institution has no policy for the region.",
		},
		{
			Code: escrow.CodeTemplateNotFound, Status: 404, Title: "Asset template not found",
			Meaning: "The institution has no such asset template.",
		},
		{
			Code: escrow.CodeAssetNotFound, Status: 404, Title: "Asset not found",
			Meaning: "The institution has no such asset.",
		},
		{
			Code: escrow.CodePositionNotFound, Status: 404, Title: "Position not found",
			Meaning: "The institution has no such position.",
		},
		{
			Code: escrow.CodeHoldNotFound, Status: 404, Title: "Hold not found",
			Meaning: "There is no such hold on the position.",
		},
		{
			Code: escrow.CodeApprovalNotFound, Status: 404, Title: "Approval not found",
			Meaning: "The institution has no such approval, or it is not for the caller to see.",
		},
		{
			Code: escrow.CodeErasureNotFound, Status: 404, Title: "Erasure not found",
			Meaning: "The institution has no such erasure.",
		},
		{
			Code: escrow.CodeCheckpointNotFound, Status: 404, Title: "Checkpoint not found",
			Meaning: "The institution's journal has no checkpoint of the size, or none yet.",
		},
		{
			Code: escrow.CodeEntryNotFound, Status: 404, Title: "Entry not found",
			Meaning: "The institution's journal has no such entry, or not among so many.",
		},
		{
			Code: codeMethodNotAllowed, Status: 405, Title: "Method not allowed",
			Meaning: "The path does not take this method; the Allow header lists those it takes.",
		},
		{
			Code: codeNotAcceptable, Status: 406, Title: "Not acceptable",
			Meaning: "The Accept header takes none of the formats that the list or statement is there in; detail " +
				"names them.",
		},
		{
			Code: codeBodyTimeout, Status: 408, Title: "Body timeout",
			Meaning: "The body did not arrive in time.",
		},
	}
}

// kindsByCode is the table by code.
var kindsByCode = sync.OnceValue(func() map[escrow.Code]ErrorKind {
	kinds := make(map[escrow.Code]ErrorKind)
	for _, kind := range ErrorKinds() {
		kinds[kind.Code] = kind
	}
	return kinds
})

// errorKind finds a code's line; a code without one is a fault of ours.
func errorKind(code escrow.Code) ErrorKind {
	if kind, ok := kindsByCode()[code]; ok {
		return kind
	}
	return kindsByCode()[escrow.CodeInternal]
}
