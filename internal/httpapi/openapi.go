package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// APIVersion is the version of the contract that this package answers.
const APIVersion = "1.0.0"

// Specification returns the OpenAPI 3.1 document of the API. A process that has many servers
// makes it once.
func Specification() ([]byte, error) { return specification() }

var specification = sync.OnceValues(describe)

// describe makes the document.
func describe() ([]byte, error) {
	routes := (&server{}).table()
	description := web.Description{
		Document:       document(),
		PathParameters: pathParameters(),
		Schemas:        schemas(),
		SchemaName:     schemaNames(routes),
		Words:          words(),
		WordSchemas:    wordSchemas(),
		Limits:         inputLimits(),
		Problem:        problem{},
	}

	for i := range routes {
		if routes[i].unlisted {
			continue
		}
		description.Add(routes[i].method(), routes[i].path(), routes[i].describe())
	}
	return description.JSON()
}

// document is the part of the OpenAPI document that is not made from routes.
func document() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title:   "EscrowGrid",
			Version: APIVersion,
			Description: "Tokenization of escrowable assets in construction and trade finance: positions on assets, " +
				"moved from state to state with the money accounted for to the last minor unit.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},

		Servers: []*huma.Server{{URL: "/"}},
		Tags: []*huma.Tag{
			{Name: "Positions", Description: "Holders' claims on assets."},
			{Name: "Journal", Description: "What happened: the ledger and the audit trail."},
			{
				Name:        "Transparency log",
				Description: "Proof that a journal was not changed: its Merkle tree, and signed checkpoints of it.",
			},
			{Name: "Holds", Description: "What keeps the money of positions where it is."},
			{Name: "Erasure", Description: "What is held about a holder, and how to erase it."},
			{Name: "Approvals", Description: "What takes the approval of others, and what waits for it."},
			{Name: "Assets", Description: "What positions are claims on."},
			{Name: "Policies", Description: "An institution's own rules."},
			{Name: "API keys", Description: "Who may act for an institution."},
			{Name: "Roles", Description: "What keys and people may do."},
			{Name: "People", Description: "Who comes from an institution's identity provider."},
			{Name: "Sessions", Description: "What browsers act with."},
			{Name: "Institutions", Description: "The platform's tenants."},
			{Name: "Service", Description: "The service itself."},
		},

		Components: &huma.Components{
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"apiKey": {
					Type:        "apiKey",
					In:          "header",
					Name:        "X-API-KEY",
					Description: "An institution's key, or the root key.",
				},
				"bearer": {
					Type: "http", Scheme: "bearer",
					Description: "The same key, or a person's token of the institution's identity provider. Where " +
						"several institutions take tokens of its issuer and audience, " + institutionHeader +
						" names the one that is meant.",
				},
				"session": {
					Type: "apiKey", In: "cookie", Name: hostPrefix + sessionCookie,
					Description: "A session of a browser, without the prefix on plain HTTP. What changes something " +
						"takes the Origin of the server and " + consoleHeader + ": 1.",
				},
			},
		},
	}
}

// The headers that operations take and give.
var (
	idempotencyKeyHeader = web.Header{
		Name: "Idempotency-Key",
		Description: fmt.Sprintf("1 to %d visible ASCII characters. The first answer under a key is kept for 24 hours "+
			"and repeated.", maxIdempotencyKey),
	}
	dryRunHeader = web.Header{
		Name: "Dry-Run",
		Description: "true asks what would become of the request: nothing is done, and the Idempotency-Key is left " +
			"alone. Status, dryRun and judgedOn of the answer tell.",
	}
	locationHeader = web.Header{
		Name:        "Location",
		Description: "The path of the approval; left out of a dry run.",
	}
	approvalTagHeader = web.Header{
		Name:        "ETag",
		Description: "The approval's version; left out of a dry run.",
	}
	replayedHeader = web.Header{
		Name:        "Idempotent-Replayed",
		Description: "true when this is the answer to an earlier request under the same Idempotency-Key.",
	}
	ifMatchHeader = web.Header{
		Name:        "If-Match",
		Description: "The versions that the resource may have, as entity tags.",
	}
	ifNoneMatchHeader = web.Header{
		Name:        "If-None-Match",
		Description: "The versions that the client has; 304 when the resource's is among them.",
	}
	etagHeader = web.Header{
		Name:        "ETag",
		Description: "The resource's version.",
		Always:      true,
	}
	linkHeader = web.Header{
		Name:        "Link",
		Description: "Where the period has more than the statement, the path of the next one, with rel=\"next\".",
	}
	dispositionHeader = web.Header{
		Name:        "Content-Disposition",
		Description: "Under what name a file is to be kept; JSON has none.",
	}
	fileHeader = web.Header{
		Name:        "Content-Disposition",
		Description: "Under what name the file is to be kept.",
		Always:      true,
	}
	setCookieHeader = web.Header{
		Name:        "Set-Cookie",
		Description: "The session's token, for browsers alone.",
		Always:      true,
	}
	forgetCookieHeader = web.Header{
		Name:        "Set-Cookie",
		Description: "Has a browser forget a session that has ended.",
	}
	forgetPagesHeader = web.Header{
		Name:        "Clear-Site-Data",
		Description: "Has a browser forget what it was shown with a session that has ended.",
	}
	retryAfterHeader = web.Header{
		Name:        "Retry-After",
		Description: "In how many seconds to come again.",
		Always:      true,
	}
	authenticateHeader = web.Header{
		Name:        "WWW-Authenticate",
		Description: "In which ways a key can be sent.",
		Always:      true,
	}
	acceptEncodingHeader = web.Header{
		Name:        "Accept-Encoding",
		Description: "Which content codings a body may have, where it had another.",
	}
	nextPageHeader = web.Header{
		Name:        "Link",
		Description: "Of CSV that has more pages, the path of the next one, with rel=\"next\".",
	}
)

// describe returns the route's operation with what follows from the rest of the route.
func (r *route) describe() web.Operation {
	o := r.operation.Operation
	o.Description = "Takes " + r.access.String() + "."
	if r.atOnce {
		o.Description += " Never waits for an approval."
	}
	o.Public = r.access.isPublic
	if o.KeyOptional = r.keyOptional; o.KeyOptional {
		o.Description = "Takes any key, or none where the operator has set PUBLIC_DOCS_ENABLED."
	}
	o.FailureHeaders = map[int][]web.Header{
		http.StatusUnauthorized:         {authenticateHeader},
		http.StatusUnsupportedMediaType: {acceptEncodingHeader},
		http.StatusTooManyRequests:      {retryAfterHeader},
		http.StatusServiceUnavailable:   {retryAfterHeader},
	}
	if !r.access.isPublic {
		o.FailureHeaders[http.StatusUnauthorized] = headers{authenticateHeader, forgetCookieHeader, forgetPagesHeader}
	}
	if r.isJournaled() {
		o.RequestHeaders = append(headers{dryRunHeader}, o.RequestHeaders...)
		r.describeOthers(&o)
	}
	if r.isKeyed() {
		// The refusals of the domain are kept under the key as well.
		for _, status := range []int{
			http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed,
			http.StatusUnprocessableEntity,
		} {
			o.FailureHeaders[status] = headers{replayedHeader}
		}
		o.RequestHeaders = append(headers{idempotencyKeyHeader}, o.RequestHeaders...)
		o.AnswerHeaders = append(headers{replayedHeader}, o.AnswerHeaders...)
	}
	if r.hasVersion() {
		o.RequestHeaders = append(headers{ifMatchHeader, ifNoneMatchHeader}, o.RequestHeaders...)
		o.NotModified = "The client has this version."
	}

	// In the order of the table, whatever the order of the route's own.
	possible := r.codes()
	for _, kind := range ErrorKinds() {
		if slices.Contains(possible, kind.Code) {
			o.Failures = append(o.Failures, web.Failure{
				Status:  kind.Status,
				Code:    string(kind.Code),
				Meaning: kind.Meaning,
			})
		}
	}
	return o
}

// describeOthers adds what the answers to all commands have in common.
func (r *route) describeOthers(o *web.Operation) {
	o.FurtherAnswer = DryRunMembers{}
	if o.AnswerStatus() == http.StatusOK {
		// A dry run is answered with the same status, and without a tag: nothing has that version yet.
		o.AnswerHeaders = slices.Clone(o.AnswerHeaders)
		for i := range o.AnswerHeaders {
			o.AnswerHeaders[i].Always = o.AnswerHeaders[i].Always && o.AnswerHeaders[i].Name != etagHeader.Name
		}
	}
	if r.takesGlass() {
		o.FurtherBody = glassFields{}
		if o.Body == nil {
			o.Body, o.BodyOptional, o.BodyExample, o.FurtherBody = glassFields{}, true, "{}", nil
		}
	}

	rehearsed := web.OtherAnswer{
		Status: http.StatusOK, Description: "What would become of it, of a dry run.", Answer: o.Answer,
	}
	switch {
	case r.operation.rehearsed != nil:
		rehearsed.Answer = r.operation.rehearsed
	case o.Answer == nil:
		rehearsed.Answer = DryRunMembers{}
	}
	if o.AnswerStatus() != http.StatusOK {
		o.Others = append(o.Others, rehearsed)
	}
	if r.canWait() {
		waiting := web.OtherAnswer{
			Status:      http.StatusAccepted,
			Description: "It waits for an approval; with Dry-Run, it would.",
			Answer:      ApprovalView{},
			Headers:     headers{locationHeader, approvalTagHeader, replayedHeader},
		}
		if r.operation.awaited != nil {
			waiting.Answer = r.operation.awaited
		}
		o.Others = append(o.Others, waiting)
	}
}

// codes are those of the errors that the route can answer. What follows from the steps of
// serve is said here once, and in no route.
func (r *route) codes() codes {
	possible := append(codes{
		codeRateLimited, escrow.CodeInternal, escrow.CodeStoreUnavailable, escrow.CodeRequestTimeout,
		escrow.CodeInvalidInput,
	}, r.operation.refusals...)

	if !r.access.isPublic {
		possible = append(possible, codeUnauthorized, escrow.CodeInvalidKey, codeAddressForbidden,
			escrow.CodeInvalidToken, escrow.CodeTokenIssuerUnknown, escrow.CodeInvalidSession,
			codeOriginNotAllowed, codeProviderUnavailable, escrow.CodePermissionMissing)
	}
	if r.access.whole || r.tenant != noTenant && r.isJournaled() {
		possible = append(possible, escrow.CodeKeyRestricted)
	}
	if r.tenant == named || r.tenant == existingNamed {
		possible = append(possible, escrow.CodeForbidden)
	}
	if r.tenant != noTenant {
		possible = append(possible, escrow.CodeInstitutionNotFound)
	}
	if r.tenant != noTenant && r.isJournaled() {
		possible = append(possible, escrow.CodeInstitutionClosed)
	}
	if r.hasVersion() {
		possible = append(possible, escrow.CodeVersionMismatch)
	}
	if r.takesGlass() {
		possible = append(possible, escrow.CodeBreakGlassForbidden)
	}
	if r.canWait() {
		possible = append(possible, escrow.CodeApprovalPending, escrow.CodeApprovalLimit)
	}
	if r.isJournaled() {
		possible = append(possible, escrow.CodeIdempotencyKeyReused, escrow.CodeOverloaded, escrow.CodeShuttingDown,
			escrow.CodeHistoryLost, escrow.CodeOutcomeUnknown)
	}
	if r.takesBody() {
		possible = append(possible, codeMalformedBody, codeBodyTimeout, codeBodyTooLarge, codeUnsupportedMedia)
	}
	return possible
}
