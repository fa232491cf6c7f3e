package httpapi

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The refusals that the API makes before a request reaches the domain.
const (
	codeMalformedBody    escrow.Code = "malformed_body"
	codeUnauthorized     escrow.Code = "unauthorized"
	codeAddressForbidden escrow.Code = "address_not_allowed"
	codeRouteNotFound    escrow.Code = "route_not_found"
	codeMethodNotAllowed escrow.Code = "method_not_allowed"
	codeBodyTimeout      escrow.Code = "body_timeout"
	codeBodyTooLarge     escrow.Code = "body_too_large"
	codeUnsupportedMedia escrow.Code = "unsupported_media_type"
	codeRateLimited      escrow.Code = "rate_limited"
)

// ErrorKind is a line of the table of errors: what a code means, and the status
// that it is answered with.
type ErrorKind struct {
	Code    escrow.Code
	Status  int
	Title   string
	Meaning string
}

// ErrorKinds lists every error that the API answers, by status.
func ErrorKinds() []ErrorKind {
	return []ErrorKind{
		{codeMalformedBody, 400, "Malformed body", "The body is not JSON: a syntax error, a duplicate name, invalid UTF-8, something behind the value, or a body that broke off."},
		{codeUnauthorized, 401, "Not authenticated", "No key was sent, or two different ones."},
		{escrow.CodeInvalidKey, 401, "Invalid API key", "The key is unknown, mistyped, revoked or expired."},
		{escrow.CodeForbidden, 403, "Forbidden", "The key's role may not do this, or the request names an institution that the key does not act for."},
		{codeAddressForbidden, 403, "Address not allowed", "The root key may not be used from this address."},
		{codeRouteNotFound, 404, "Not found", "Nothing is at this path."},
		{escrow.CodeInstitutionNotFound, 404, "Institution not found", "There is no such institution, or the key does not act for it."},
		{escrow.CodeKeyNotFound, 404, "API key not found", "The institution has no such API key."},
		{escrow.CodePolicyNotFound, 404, "Policy not found", "The institution has no policy for the region."},
		{escrow.CodeTemplateNotFound, 404, "Asset template not found", "The institution has no such asset template."},
		{escrow.CodeAssetNotFound, 404, "Asset not found", "The institution has no such asset."},
		{escrow.CodePositionNotFound, 404, "Position not found", "The institution has no such position."},
		{escrow.CodeCheckpointNotFound, 404, "Checkpoint not found", "The institution's journal has no checkpoint of the size, or none yet."},
		{escrow.CodeEntryNotFound, 404, "Entry not found", "The institution's journal has no such entry, or not among so many."},
		{codeMethodNotAllowed, 405, "Method not allowed", "The path does not take this method; the Allow header lists those it takes."},
		{codeBodyTimeout, 408, "Body timeout", "The body did not arrive in time."},
		{escrow.CodeInvalidTransition, 409, "Invalid transition", "The position's state does not allow this one next; the detail names both and the states that are allowed."},
		{escrow.CodePositionExpired, 409, "Position expired", "The position is past its expiresAt and can only become EXPIRED or CANCELLED."},
		{escrow.CodePositionEventLimit, 409, "Too many events", "The position has as many events as it can have; only a final state is possible."},
		{escrow.CodeKeyInactive, 409, "API key inactive", "The API key is revoked or has expired and cannot be rotated."},
		{escrow.CodeVersionMismatch, 412, "Version mismatch", "The position no longer has the version that If-Match, or an item's ifVersion, names."},
		{codeBodyTooLarge, 413, "Body too large", "The body has more than 1 MiB."},
		{codeUnsupportedMedia, 415, "Unsupported media type", "The body is not declared as application/json in UTF-8."},
		{escrow.CodeInvalidInput, 422, "Invalid input", "Fields or parameters are not valid; errors lists all of them."},
		{escrow.CodeIdempotencyKeyReused, 422, "Idempotency key reused", "The Idempotency-Key was used for another request."},
		{escrow.CodeTransitionAmount, 422, "Invalid amount of a transition", "The amount is not what this transition can move."},
		{escrow.CodeTemplateCurrency, 422, "Currency refused by template", "The asset's template has another currency."},
		{escrow.CodeTemplateMinAmount, 422, "Amount below the template's minimum", "The asset's template asks for a larger amount."},
		{escrow.CodeTemplateMaxAmount, 422, "Amount above the template's maximum", "The asset's template allows a smaller amount at the most."},
		{escrow.CodeTemplateTenor, 422, "Expiry beyond the template's tenor", "The asset's template allows an earlier expiresAt at the latest."},
		{escrow.CodeTemplateRetainage, 422, "Retainage", "The release would leave less held than the asset's template retains until RELEASED."},
		{escrow.CodePolicyMinAmount, 422, "Amount below the policy's minimum", "The institution's policy for the region asks for a larger amount."},
		{escrow.CodePolicyMaxAmount, 422, "Amount above the policy's maximum", "The institution's policy for the region allows a smaller amount at the most."},
		{escrow.CodePolicyCurrency, 422, "Currency refused by policy", "The institution's policy for the region does not allow the currency."},
		{escrow.CodeBatchRefused, 422, "Batch refused", "Items of an atomic batch are refused; results tells which, and why. Nothing was done."},
		{escrow.CodeNotApplied, 424, "Not applied", "The item is right, but others of its atomic batch are refused. It is never the answer of a request, only that of an item."},
		{codeRateLimited, 429, "Rate limited", "The key, or the address, sends more than it may; Retry-After says when to go on. Nothing was done."},
		{escrow.CodeInternal, 500, "Internal error", "A fault of the server; its log has the request id. Whether a command was carried out can be found out by repeating it with its Idempotency-Key."},
		{escrow.CodeOverloaded, 503, "Overloaded", "The server's queue is full. Nothing was done; retry after Retry-After."},
		{escrow.CodeRequestTimeout, 503, "Request timeout", "The request's turn did not come in time. Nothing was done."},
		{escrow.CodeShuttingDown, 503, "Shutting down", "The server is shutting down. Nothing was done; another instance may take the request."},
		{escrow.CodeStoreUnavailable, 503, "Store unavailable", "The database cannot be reached or is not migrated. Nothing was done."},
		{escrow.CodeOutcomeUnknown, 503, "Outcome unknown", "The server lost the database in the middle of a commit. Repeat the request with the same Idempotency-Key to find out what became of it."},
	}
}

// errorKind finds a code's line; a code without one is a fault of ours.
func errorKind(code escrow.Code) ErrorKind {
	internal := ErrorKind{}
	for _, kind := range ErrorKinds() {
		if kind.Code == code {
			return kind
		}
		if kind.Code == escrow.CodeInternal {
			internal = kind
		}
	}
	return internal
}

// ProblemMembers are those of any RFC 9457 problem document.
type ProblemMembers struct {
	Type   string      `json:"type" doc:"A URN made of the code." example:"urn:escrowgrid:error:invalid_input"`
	Title  string      `json:"title" doc:"What the code means, in a few words."`
	Status int         `json:"status" doc:"The HTTP status."`
	Detail string      `json:"detail" doc:"What happened, for people."`
	Code   escrow.Code `json:"code" doc:"What happened, for programs; see the table of errors."`
}

// problem is the problem document of a request.
type problem struct {
	ProblemMembers
	RequestID string          `json:"requestId" doc:"Names the request in the server's log."`
	Errors    []escrow.Fault  `json:"errors,omitempty" doc:"Each fault of an invalid input."`
	Results   []batchItemView `json:"results,omitempty" doc:"What became of each item of an atomic batch that is refused." nullable:"false"`
}

func problemMembers(failure *escrow.Error, kind ErrorKind) ProblemMembers {
	return ProblemMembers{
		Type: "urn:escrowgrid:error:" + string(kind.Code), Title: kind.Title, Status: kind.Status, Detail: failure.Detail, Code: kind.Code,
	}
}

// writeError answers an error. It never tells more than its code and detail.
func (c *call) writeError(err error) {
	c.failure = err
	failure, ok := errors.AsType[*escrow.Error](err)
	if !ok {
		failure = escrow.Errorf(escrow.CodeInternal, "Something went wrong on the server.")
	}
	kind := errorKind(failure.Code)
	document := problem{
		ProblemMembers: problemMembers(failure, kind), RequestID: c.requestID, Errors: failure.Faults, Results: viewRefusals(failure.Items),
	}
	if earlier, ok := errors.AsType[replayedError](err); ok {
		// The same answer once and for all includes whose answer it was.
		document.RequestID = earlier.requestID
		c.writer.Header().Set("Idempotent-Replayed", "true")
	}
	if kind.Status == http.StatusServiceUnavailable || kind.Status == http.StatusTooManyRequests {
		c.writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(c.wait.Seconds(), 1)))))
	}
	if kind.Status == http.StatusUnauthorized {
		c.writer.Header().Set("WWW-Authenticate", `Bearer realm="escrowgrid", ApiKey realm="escrowgrid", header="X-API-KEY"`)
	}
	if securityRelevant(kind) {
		c.noteRefusal(kind.Code)
	}
	c.server.metrics.refusals.WithLabelValues(string(kind.Code)).Inc()
	// A name or a path that the client made up, and that an error repeats, may be
	// no UTF-8.
	body, err := json.Marshal(document, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		// Texts and numbers can always be written.
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	c.write(reply{status: kind.Status, raw: append(body, '\n'), contentType: "application/problem+json"})
}

func securityRelevant(kind ErrorKind) bool {
	return kind.Status == http.StatusUnauthorized || kind.Status == http.StatusForbidden || kind.Status == http.StatusTooManyRequests
}

// noteRefusal puts the refused attempt into the bounded security log.
func (c *call) noteRefusal(code escrow.Code) {
	c.server.engine.Refused(escrow.RefusedAttempt{
		InstitutionID: c.caller.institution, Actor: c.caller.name(), Code: code, Method: c.loggedMethod(),
		Path: c.pattern, Client: c.client.String(), RequestID: c.requestID,
	})
}

// detailOf returns what a client may read of an error.
func detailOf(err error) string {
	if failure, ok := errors.AsType[*escrow.Error](err); ok {
		return failure.Detail
	}
	return ""
}
