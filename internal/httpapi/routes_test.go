package httpapi_test

import (
	"crypto/rand"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// agreed is a line of the contract: a route, the callers that it takes, and what
// it answers.
type agreed struct {
	route string
	takes string
	// refuses is the restricted keys that it refuses, and hides those that do not see what it is asked for.
	refuses, hides string
	// names is where the request names an institution: "path" or "query".
	names string
	// query is what the route cannot do without.
	query  string
	status int
	// missing is the code for a resource that the institution does not have.
	missing string
	// body makes a request's body, and ids what is named in the path.
	body func(bank) fields
	ids  func(testing.TB, bank) []string
}

// The callers that a route can take.
const (
	public     = "everyone"
	anyKey     = noRole + " holder " + reading
	sharing    = "holder " + reading // also of a holder's own positions
	reading    = "read_only operator maker approver compliance auditor admin root"
	ruling     = "approver compliance auditor admin root" // sees roles
	deciding   = "approver compliance admin root"
	inspecting = "compliance auditor admin root"
	enforcing  = "compliance admin root"
	holding    = "operator compliance admin root"
	preparing  = "maker admin root"
	moving     = "operator maker admin root"
	writing    = "admin root"
	root       = "root"
	metrics    = metricsOnly + " root"

	// noRole is somebody whose groups have no role, and metricsOnly the key for metrics.
	noRole      = "nothing"
	metricsOnly = "metrics"
)

// What keys can be restricted to, and which of these a route can refuse.
const (
	toTemplates = "templates"
	toAssets    = "assets"
	toHolders   = "holders"
	toAmounts   = "amounts"
	narrowing   = toTemplates + " " + toAssets + " " + toHolders // hides positions
	restricting = narrowing + " " + toAmounts
)

// contractTable says once more who may use each route: the tests of the API's
// access go by it, and not by the code that they test.
var contractTable = []agreed{
	{route: "GET /health", takes: public, status: 200},
	{route: "GET /ready", takes: public, status: 200},
	{route: "GET /metrics", takes: metrics, status: 200},
	{route: "GET /openapi.json", takes: anyKey, status: 200},
	{route: "GET /docs", takes: anyKey, status: 200},
	{route: "GET /docs/{file}", takes: anyKey, status: 200, ids: aFile},

	{route: "POST /institutions", takes: root, status: 201, body: newInstitution},
	{route: "GET /institutions", takes: reading, status: 200},
	{route: "GET /institutions/{id}", takes: reading, names: "path", status: 200},
	{route: "PATCH /institutions/{id}", takes: root, names: "path", status: 200, body: newName},
	{route: "POST /institutions/{id}/close", takes: root, names: "path", status: 409, ids: moneyHeld},

	{route: "POST /institutions/{id}/api-keys", takes: writing, refuses: restricting, names: "path", status: 201, body: newKey},
	{route: "GET /institutions/{id}/api-keys", takes: inspecting, refuses: narrowing, names: "path", status: 200},
	{route: "PATCH /institutions/{id}/api-keys/{keyId}", takes: writing, refuses: restricting, names: "path", status: 200, missing: "api_key_not_found", body: newLabel, ids: aKey},
	{route: "POST /institutions/{id}/api-keys/{keyId}/revoke", takes: writing, refuses: restricting, names: "path", status: 200, missing: "api_key_not_found", ids: aKey},
	{route: "POST /institutions/{id}/api-keys/{keyId}/rotate", takes: writing, refuses: restricting, names: "path", status: 201, missing: "api_key_not_found", ids: aKey},

	{route: "PUT /institutions/{id}/identity-provider", takes: writing, refuses: restricting, names: "path", status: 200, body: newProvider},
	{route: "GET /institutions/{id}/identity-provider", takes: inspecting, refuses: narrowing, names: "path", status: 200, ids: aProvider},
	{route: "DELETE /institutions/{id}/identity-provider", takes: writing, refuses: restricting, names: "path", status: 204, ids: aProvider},
	{route: "GET /institutions/{id}/users", takes: inspecting, refuses: narrowing, names: "path", status: 200},
	{route: "GET /institutions/{id}/users/{userId}", takes: inspecting, refuses: narrowing, names: "path", status: 200, missing: "user_not_found", ids: aUser},
	{route: "POST /institutions/{id}/users/{userId}/suspend", takes: writing, refuses: restricting, names: "path", status: 200, missing: "user_not_found", ids: aUser},
	{route: "POST /institutions/{id}/users/{userId}/restore", takes: writing, refuses: restricting, names: "path", status: 200, missing: "user_not_found", ids: aSuspended},
	{route: "GET /me", takes: anyKey, status: 200},

	{route: "POST /sessions", takes: anyKey, status: 201},
	{route: "GET /sessions", takes: anyKey, status: 200},
	{route: "DELETE /sessions/{id}", takes: anyKey, status: 404, ids: aSession},
	{route: "GET /institutions/{id}/sessions", takes: inspecting, refuses: narrowing, names: "path", status: 200},
	{route: "DELETE /institutions/{id}/sessions/{sessionId}", takes: writing, refuses: narrowing, names: "path", status: 204, missing: "session_not_found", ids: aSession},
	{route: "POST /auth/logout", takes: anyKey, status: 404},

	{route: "PUT /institutions/{id}/roles/{name}", takes: writing, refuses: restricting, names: "path", status: 200, body: newRole, ids: aRole},
	{route: "GET /institutions/{id}/roles/{name}", takes: ruling, names: "path", status: 200, ids: aRole},
	{route: "GET /institutions/{id}/roles", takes: ruling, names: "path", status: 200},

	{route: "PUT /institutions/{id}/policies/{region}", takes: enforcing, refuses: restricting, names: "path", status: 200, body: newPolicy, ids: aRegion},
	{route: "GET /institutions/{id}/policies/{region}", takes: reading, names: "path", status: 200, ids: aPolicy},
	{route: "GET /institutions/{id}/policies", takes: reading, names: "path", status: 200},

	{route: "POST /asset-templates", takes: writing, refuses: restricting, names: "query", status: 201, body: newTemplate},
	{route: "GET /asset-templates", takes: reading, names: "query", status: 200},
	{route: "GET /asset-templates/{id}", takes: reading, names: "query", status: 200, missing: "asset_template_not_found", ids: aTemplate},
	{route: "PATCH /asset-templates/{id}", takes: writing, refuses: restricting, names: "query", status: 200, missing: "asset_template_not_found", body: newName, ids: aTemplate},
	{route: "POST /asset-templates/{id}/close", takes: writing, refuses: restricting, names: "query", status: 200, missing: "asset_template_not_found", ids: anotherTemplate},
	{route: "POST /assets", takes: preparing, refuses: toAssets + " " + toHolders, names: "query", status: 201, missing: "asset_template_not_found", body: newAsset},
	{route: "GET /assets", takes: reading, names: "query", status: 200},
	{route: "GET /assets/{id}", takes: reading, names: "query", status: 200, missing: "asset_not_found", ids: anAsset},
	{route: "PATCH /assets/{id}", takes: preparing, refuses: toHolders, names: "query", status: 200, missing: "asset_not_found", body: newLabel, ids: anAsset},
	{route: "POST /assets/{id}/close", takes: preparing, refuses: toHolders, hides: toAssets, names: "query", status: 200, missing: "asset_not_found", ids: anotherAsset},

	{route: "POST /positions", takes: moving, names: "query", status: 201, missing: "asset_not_found", body: bank.claim},
	{route: "GET /positions", takes: sharing, names: "query", status: 200},
	{route: "GET /positions/{id}", takes: sharing, names: "query", status: 200, missing: "position_not_found", ids: aPosition},
	{route: "GET /positions/{id}/statement", takes: sharing, names: "query", status: 200, missing: "position_not_found", ids: aPosition},
	{route: "GET /positions/{id}/disclosure", takes: inspecting, names: "query", query: "?sequence=1", status: 404, missing: "position_not_found", ids: aPosition},
	{route: "POST /positions/{id}/transition", takes: moving, names: "query", status: 200, missing: "position_not_found", body: newStep, ids: aPosition},
	{route: "POST /positions/batch", takes: moving, names: "query", status: 200, body: newClaims},
	{route: "POST /positions/transitions/batch", takes: moving, names: "query", status: 200, body: newSteps},

	{route: "POST /positions/{id}/holds", takes: holding, names: "query", status: 201, missing: "position_not_found", body: newHold, ids: aPosition},
	{route: "GET /positions/{id}/holds", takes: reading, names: "query", status: 200, missing: "position_not_found", ids: aPosition},
	{route: "GET /positions/{id}/holds/{holdId}", takes: reading, names: "query", status: 200, missing: "position_not_found", ids: aHold},
	{route: "POST /positions/{id}/holds/{holdId}/lift", takes: enforcing, names: "query", status: 200, missing: "position_not_found", body: newReason, ids: aHold},
	{route: "POST /holds", takes: holding, refuses: narrowing, names: "query", status: 200, body: newHolderHold},
	{route: "GET /holds", takes: reading, refuses: narrowing, names: "query", status: 200},

	{route: "POST /positions/{id}/erase", takes: enforcing, names: "query", status: 200, missing: "position_not_found", body: noFields, ids: aReleased},
	{route: "POST /erasures", takes: enforcing, refuses: narrowing, names: "query", status: 200, body: newErasure},
	{route: "GET /erasures", takes: inspecting, refuses: narrowing, names: "query", status: 200},
	{route: "GET /erasures/{id}", takes: inspecting, refuses: narrowing, names: "query", status: 200, missing: "erasure_not_found", ids: anErasure},
	{route: "GET /holders/{reference}/data", takes: inspecting, refuses: narrowing, names: "query", status: 200, ids: aHolder},

	{route: "PUT /institutions/{id}/approval-rules", takes: writing, refuses: restricting, names: "path", status: 200, body: newRules},
	{route: "GET /institutions/{id}/approval-rules", takes: reading, names: "path", status: 200},
	{route: "GET /approvals", takes: reading, refuses: narrowing, names: "query", status: 200},
	{route: "GET /approvals/{id}", takes: reading, hides: narrowing, names: "query", status: 200, missing: "approval_not_found", ids: anApproval},
	{route: "POST /approvals/{id}/approve", takes: deciding, refuses: restricting, names: "query", status: 409, missing: "approval_not_found", body: wrongDigest, ids: anApproval},
	{route: "POST /approvals/{id}/reject", takes: deciding, refuses: restricting, names: "query", status: 200, missing: "approval_not_found", body: newComment, ids: anApproval},
	{route: "POST /approvals/{id}/withdraw", takes: reading, hides: narrowing, names: "query", status: 403, missing: "approval_not_found", ids: anApproval},
	{route: "POST /approvals/{id}/erase", takes: enforcing, hides: narrowing, names: "query", status: 200, missing: "approval_not_found", body: noFields, ids: aWithdrawn},
	{route: "GET /me/inbox", takes: deciding, refuses: narrowing, names: "query", status: 200},

	{route: "GET /ledger-events", takes: sharing, refuses: narrowing, names: "query", status: 200},
	{route: "GET /audit-events", takes: inspecting, refuses: narrowing, names: "query", status: 200},
	{route: "GET /institutions/{id}/balances", takes: reading, refuses: narrowing, names: "path", status: 200},
	{route: "GET /institutions/{id}/statements", takes: reading, refuses: narrowing, names: "path", status: 200},

	{route: "GET /keys", takes: public, status: 200},
	{route: "GET /institutions/{id}/journal", takes: inspecting, refuses: narrowing, names: "path", status: 200},
	{route: "GET /institutions/{id}/journal/checkpoint", takes: sharing, names: "path", status: 200},
	{route: "GET /institutions/{id}/journal/checkpoints", takes: sharing, names: "path", status: 200},
	{route: "GET /institutions/{id}/journal/proofs/inclusion", takes: sharing, names: "path", query: "?sequence=1", status: 200},
	{route: "GET /institutions/{id}/journal/proofs/consistency", takes: sharing, names: "path", query: "?from=1", status: 200},
}

func newInstitution(bank) fields { return fields{"name": "Another Bank", "regions": []string{"US"}} }
func newKey(bank) fields         { return fields{"label": "payments", "role": "admin"} }
func newProvider(b bank) fields {
	if b.provider != nil {
		return b.provider
	}
	return providerOf("https://login.example.com", fields{"staff": "operator"})
}
func newRole(bank) fields     { return fields{"permissions": []string{"positions.read"}} }
func newPolicy(bank) fields   { return fields{"position": fields{"minAmount": "1"}} }
func newTemplate(bank) fields { return templateOf("TF_LC") }
func newAsset(b bank) fields  { return fields{"templateId": b.Template, "label": "Lot 3"} }
func newName(bank) fields     { return fields{"name": "Harbour"} }
func newLabel(bank) fields    { return fields{"label": "Harbour"} }
func newStep(bank) fields     { return step("FUNDED") }
func newClaims(b bank) fields { return batchOf(b.claim()) }
func newSteps(bank) fields    { return batchOf(step("FUNDED").with("positionId", anyPosition)) }

func newHold(bank) fields   { return fields{"kind": "COMPLIANCE", "reason": "A question"} }
func newReason(bank) fields { return fields{"reason": "It is answered"} }
func newHolderHold(bank) fields {
	return fields{"holderReference": "nobody", "kind": "COMPLIANCE", "reason": "A question"}
}

func wrongDigest(bank) fields { return fields{"digest": strings.Repeat("0", 64)} }
func newComment(bank) fields  { return fields{"comment": "The invoice was paid before"} }

// newRules are of what no test does.
func newRules(bank) fields {
	return fields{"rules": []fields{{"id": "elsewhere", "on": []string{"positions.cancel"}, "when": fields{"region": "UAE"}, "require": []fields{{"role": "admin", "count": 1}}}}}
}

// batchOf is the body of a batch.
func batchOf(items ...fields) fields { return fields{"items": items} }

// anyPosition stands in a body for a position that is made for the request.
const anyPosition = "{position}"

func aFile(testing.TB, bank) []string         { return []string{"docs.js"} }
func aRegion(testing.TB, bank) []string       { return []string{"US"} }
func aTemplate(_ testing.TB, b bank) []string { return []string{b.Template} }
func anAsset(_ testing.TB, b bank) []string   { return []string{b.Asset} }
func aHolder(testing.TB, bank) []string       { return []string{"Ada%20%2F%20100%25"} }

// What is closed takes nothing new: those that other routes need stay open.
func anotherTemplate(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.template(tb, templateOf("CONSTR_ESCROW"))}
}

func anotherAsset(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.asset(tb, b.Template)}
}

// moneyHeld keeps an institution from being closed.
func moneyHeld(tb testing.TB, b bank) []string {
	tb.Helper()
	b.position(tb, "FUNDED")
	return nil
}

func aKey(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.Admin.Post(tb, "/institutions/"+b.ID+"/api-keys", newKey(b).String()).Want(tb, 201).Text("id")}
}

func aProvider(tb testing.TB, b bank) []string {
	tb.Helper()
	b.Admin.Put(tb, "/institutions/"+b.ID+"/identity-provider", newProvider(b).String()).Want(tb, 200)
	return nil
}

// aUser comes without a token, which is enough to be there.
func aUser(tb testing.TB, b bank) []string {
	tb.Helper()
	aProvider(tb, b)
	var of escrow.InstitutionID
	if err := of.UnmarshalText([]byte(b.ID)); err != nil {
		tb.Fatal(err)
	}
	provider, err := b.engine.IdentityProvider(tb.Context(), of)
	if err != nil {
		tb.Fatal(err)
	}
	claims := engine.UserClaims{Issuer: provider.Issuer, Subject: rand.Text(), Groups: []string{"staff"}}
	user, err := b.engine.AuthenticateUser(tb.Context(), provider, "joined", claims)
	if err != nil {
		tb.Fatal(err)
	}
	return []string{user.User.ID.String()}
}

func aSuspended(tb testing.TB, b bank) []string {
	tb.Helper()
	user := aUser(tb, b)
	b.Admin.Post(tb, "/institutions/"+b.ID+"/users/"+user[0]+"/suspend", "").Want(tb, 200)
	return user
}

// aSession is of a key that no caller has.
func aSession(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.Admin.As(b.keyOf(tb, newKey(b))).Post(tb, "/sessions", "").Want(tb, 201).Text("id")}
}

func aRole(tb testing.TB, b bank) []string {
	tb.Helper()
	b.Admin.Put(tb, "/institutions/"+b.ID+"/roles/clerk", `{"permissions": ["assets.read"]}`).Want(tb, 200)
	return []string{"clerk"}
}

func aPolicy(tb testing.TB, b bank) []string {
	tb.Helper()
	b.Admin.Put(tb, "/institutions/"+b.ID+"/policies/US", newPolicy(b).String()).Want(tb, 200)
	return []string{"US"}
}

func aPosition(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.position(tb).Text("id")}
}

func aHold(tb testing.TB, b bank) []string {
	tb.Helper()
	position := b.position(tb).Text("id")
	return []string{position, b.Admin.Post(tb, "/positions/"+position+"/holds", newHold(b).String()).Want(tb, 201).Text("id")}
}

// target is whose resources a request means, and how it says so.
type target string

const (
	own                target = "its own institution"
	ownNamed           target = "its own institution by name"
	foreign            target = "another institution by name"
	foreignResource    target = "another institution's resource by its id"
	missingInstitution target = "an institution that does not exist"
	missingResource    target = "a resource that does not exist"
)

// isJournaled reports whether the route is a command, which the journal tells of: sessions are in none.
func (a agreed) isJournaled() bool {
	return !strings.HasPrefix(a.route, "GET ") && !strings.Contains(a.route, "/sessions") && !strings.Contains(a.route, "/auth/")
}

// isKeyed reports whether its answer is kept under an Idempotency-Key: to repeat what it does is safe otherwise.
func (a agreed) isKeyed() bool { return a.isJournaled() && a.route != "POST /holds" }

// endsSessions reports whether the route ends what callers come with.
func (a agreed) endsSessions() bool {
	return a.route == "POST /auth/logout" || a.route == "DELETE /institutions/{id}/identity-provider"
}

// want is what the contract says of a caller's request.
func (a agreed) want(by *caller, of target) (status int, code string) {
	switch {
	case a.takes == public:
		return a.status, ""
	case by.refused != "":
		return 401, by.refused
	case by.as == metricsOnly && a.takes != metrics:
		return 401, "invalid_api_key"
	case !slices.Contains(strings.Fields(a.takes), by.as):
		return 403, "permission_missing"
	}
	switch isSession := by.login != nil; {
	// A session does not begin with another.
	case a.route == "POST /sessions" && isSession:
		return 403, "forbidden"
	case a.route == "POST /auth/logout" && isSession:
		return 204, ""
	}
	isCommand, isList := !strings.HasPrefix(a.route, "GET"), a.ids == nil
	switch of {
	case own, ownNamed:
		switch {
		case by.restricted == "":
		case slices.Contains(strings.Fields(a.refuses), by.restricted):
			return 403, "key_restricted"
		case slices.Contains(strings.Fields(a.hides), by.restricted):
			return 404, a.missing
		}
	case foreign:
		switch {
		case by.as == root:
		case a.names == "path":
			return 404, "institution_not_found"
		default:
			return 403, "forbidden"
		}
	case missingInstitution:
		switch {
		case a.names == "path":
			return 404, "institution_not_found"
		case by.as != root:
			return 403, "forbidden"
		case isCommand || isList:
			return 404, "institution_not_found"
		default:
			return 404, a.missing
		}
	case foreignResource, missingResource:
		return 404, a.missing
	}
	return a.status, ""
}

// targets are those that a route can have.
func (a agreed) targets() []target {
	targets := []target{own}
	if a.names == "query" {
		targets = append(targets, ownNamed)
	}
	if a.names != "" {
		targets = append(targets, foreign, missingInstitution)
	}
	if a.missing != "" {
		targets = append(targets, foreignResource, missingResource)
	}
	return targets
}

// Ids that nothing has.
const noInstitution = "inst_01jd8m3q5yf7wbt0x4a2k9r6ce"

var resourceIDs = regexp.MustCompile(`\b(key|tmpl|ast|pos|ers|usr|ses|apr|hld)_[0-9a-z]{26}`)

// request makes a request for a target. The resources that it names are new where
// the route uses them up.
func (a agreed) request(tb testing.TB, mine, other bank, caller string, of target) apitest.Request {
	tb.Helper()
	owner := mine
	if of == foreign || of == foreignResource {
		owner = other
	}
	method, path, _ := strings.Cut(a.route, " ")
	if a.names == "path" {
		path = strings.Replace(path, "{id}", owner.ID, 1)
	}
	if a.ids != nil {
		for _, id := range a.ids(tb, owner) {
			path = strings.Replace(path, pathParameter.FindString(path), id, 1)
		}
	}
	if a.names == "query" && (of != own || caller == root) {
		path += "?institutionId=" + owner.ID
	}
	query := a.query
	if strings.Contains(path, "?") {
		query = strings.Replace(query, "?", "&", 1)
	}
	r := apitest.Request{Method: method, Path: path + query}
	if a.body != nil {
		r.Body = a.body(owner).String()
		if strings.Contains(r.Body, anyPosition) {
			r.Body = strings.ReplaceAll(r.Body, anyPosition, aPosition(tb, owner)[0])
		}
	}
	switch of {
	case foreignResource:
		r.Path = strings.ReplaceAll(r.Path, other.ID, mine.ID)
	case missingInstitution:
		r.Path = strings.ReplaceAll(r.Path, mine.ID, noInstitution)
	case missingResource:
		r.Path = resourceIDs.ReplaceAllString(r.Path, "${1}_01jd8m3q5yf7wbt0x4a2k9r6ce")
		r.Body = resourceIDs.ReplaceAllString(r.Body, "${1}_01jd8m3q5yf7wbt0x4a2k9r6ce")
	case own, ownNamed, foreign:
	}
	return r
}

var pathParameter = regexp.MustCompile(`\{\w+\}`)

func TestContractListsEveryRoute(t *testing.T) {
	var listed []string
	for _, route := range contractTable {
		listed = append(listed, route.route)
	}
	slices.Sort(listed)
	served := httpapi.Routes()
	slices.Sort(served)
	if !slices.Equal(listed, served) {
		t.Errorf("the routes are%s\nthe contract of these tests has%s", lines(served), lines(listed))
	}
	if documented := contract().Operations(); !slices.Equal(served, documented) {
		t.Errorf("the routes are%s\nthe OpenAPI document has%s", lines(served), lines(documented))
	}
}

// Every route, by every caller, for every institution.
func TestEveryRouteTakesWhomItMay(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		mine, other := s.bank(t), s.bank(t)
		s.signCheckpoints()
		callers := s.keyCallers(t, mine)
		mine, from := s.withPeople(t, mine)
		callers = append(callers, s.peopleCallers(t, mine, from)...)
		invalid := make(map[string]bool)
		for _, route := range contractTable {
			requests := make(requests)
			for _, by := range callers {
				for _, of := range by.targets(route) {
					t.Run(route.route+" by "+by.name+" for "+string(of), func(t *testing.T) {
						status, code := route.want(by, of)
						r := requests.of(t, route, mine, other, by, of, code)
						if route.endsSessions() {
							aProvider(t, mine)
							by.renew(t, s)
						}
						answer := by.send(t, s, r)
						if code == "" {
							answer.Want(t, status)
						} else {
							answer.Refused(t, status, code)
						}
						if answer.Status == 401 && by.secret != "" {
							invalid[answer.Problem(t).Detail] = true
						}
					})
				}
			}
			if route.endsSessions() {
				aProvider(t, mine)
				for _, by := range callers {
					by.renew(t, s)
				}
			}
		}
		// A guesser learns nothing, and who has a key learns what can be wrong with it.
		if told := slices.Collect(maps.Keys(invalid)); len(told) != 1 || !strings.Contains(told[0], "revoked, expired") {
			t.Errorf("keys that are not valid are told %q", told)
		}
		writers := s.writers(t, callers, mine, other)
		for _, b := range []bank{mine, other} {
			path := "/audit-events?limit=1000&institutionId=" + b.ID
			actors, kinds := s.Walk(t, path, "actor"), s.Walk(t, path, "kind")
			for i, actor := range actors {
				isJoin := strings.HasPrefix(actor, "usr_") && kinds[i] == string(escrow.KindUserJoined)
				if actor != root && !isJoin && !slices.Contains(writers, actor) {
					t.Errorf("%s wrote %s into the journal of %s", actor, kinds[i], b.ID)
				}
			}
		}
	})
}

// writers are the keys and the people of institutions who may write, as journals call them.
func (s *service) writers(t *testing.T, callers []*caller, banks ...bank) (ids []string) {
	t.Helper()
	mayWrite := strings.Fields(moving + " " + enforcing + " " + deciding)
	for _, by := range callers {
		if by.id != "" && slices.Contains(mayWrite, by.as) {
			ids = append(ids, by.id)
		}
	}
	for _, b := range banks {
		path := "/institutions/" + b.ID + "/api-keys?limit=1000&includeRevoked=true"
		keys, roles := s.Walk(t, path, "id"), s.Walk(t, path, "role")
		for i, key := range keys {
			if slices.Contains(mayWrite, roles[i]) {
				ids = append(ids, key)
			}
		}
	}
	return ids
}

// requests are those of one route that several callers can send: what is refused, and what only reads,
// uses up nothing.
type requests map[requested]apitest.Request

type requested struct {
	of     target
	isRoot bool
}

// of makes a request, or returns one that was made. Code is that of its refusal, if it is refused.
func (r requests) of(tb testing.TB, route agreed, mine, other bank, by *caller, of target, code string) apitest.Request {
	tb.Helper()
	place := requested{of, by.as == root}
	usesUp := route.endsSessions() || code == "" && !strings.HasPrefix(route.route, "GET ")
	if made, ok := r[place]; ok && !usesUp {
		return made
	}
	made := route.request(tb, mine, other, by.as, of)
	if !usesUp {
		r[place] = made
	}
	return made
}

// Another tenant's resource must answer exactly as one that does not exist.
func TestForeignResourcesAnswerAsMissingOnes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		mine, other := s.bank(t), s.bank(t)
		s.signCheckpoints()
		mine, from := s.withPeople(t, mine)
		callers := []*caller{{name: "admin", secret: mine.Admin.Key}, {name: "read_only", secret: mine.ReadOnly.Key}}
		for _, by := range s.peopleCallers(t, mine, from) {
			if by.as == "admin" {
				callers = append(callers, by)
			}
		}
		anonymous := func(by *caller, r apitest.Request) string {
			answer := by.send(t, s, r)
			text := resourceIDs.ReplaceAllString(string(answer.Body), "$1")
			text = strings.NewReplacer(answer.Header.Get("X-Request-Id"), "", other.ID, "ID", noInstitution, "ID").Replace(text)
			answer.Header.Del("X-Request-Id")
			answer.Header.Del("Date")
			answer.Header.Del("Content-Length")
			for _, header := range []string{"Retry-After", "ETag", "Location"} {
				if answer.Header.Get(header) != "" {
					t.Errorf("%s %s has a %s", r.Method, r.Path, header)
				}
			}
			return text
		}
		for _, route := range contractTable {
			for there, missing := range map[target]target{foreign: missingInstitution, foreignResource: missingResource} {
				if !slices.Contains(route.targets(), there) {
					continue
				}
				strange := route.request(t, mine, other, "", there)
				absent := route.request(t, mine, other, "", missing)
				for _, by := range callers {
					if got, want := anonymous(by, strange), anonymous(by, absent); got != want {
						t.Errorf("%s by %s for %s is answered\n\t%s\nand for %s\n\t%s", route.route, by.name, there, got, missing, want)
					}
				}
			}
		}
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	t.Run("a path that is nothing's", func(t *testing.T) {
		for _, path := range []string{
			"/nothing", "/positions/", "/positions/x/y", "/Positions", "/v1/positions", "/institutions/" + b.ID + "/api-keys/",
			"//positions", "/./positions", "/assets/../positions", "/positions//transition",
		} {
			b.Admin.Get(t, path).Refused(t, 404, "route_not_found")
			b.Admin.Post(t, path, b.claim().String()).Refused(t, 404, "route_not_found")
			s.As("").Get(t, path).Refused(t, 401, "unauthorized")
		}
		for path, hint := range map[string]string{
			"/positions/": "leave out the slash", "/institutions/" + b.ID + "/api-keys/": "leave out the slash",
			"/nothing/": "/openapi.json", "/Positions": "/openapi.json", "//": "/openapi.json", "/docs/nothing.js": "/openapi.json",
		} {
			if detail := b.Admin.Get(t, path).Refused(t, 404, "route_not_found").Problem(t).Detail; !strings.Contains(detail, hint) {
				t.Errorf("%s is answered with %q", path, detail)
			}
		}
	})
	t.Run("a method that the path does not take", func(t *testing.T) {
		allowed := make(map[string][]string)
		for _, route := range contractTable {
			method, path, _ := strings.Cut(route.route, " ")
			allowed[path] = append(allowed[path], method)
			if method == http.MethodGet {
				allowed[path] = append(allowed[path], http.MethodHead)
			}
		}
		for path, methods := range allowed {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
				if slices.Contains(methods, method) {
					continue
				}
				r := apitest.Request{Method: method, Path: regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")}
				answer := s.Send(t, r).Refused(t, 405, "method_not_allowed")
				named := strings.Split(answer.Header.Get("Allow"), ", ")
				slices.Sort(named)
				slices.Sort(methods)
				if !slices.Equal(named, methods) {
					t.Errorf("%s %s: Allow is %q, want %q", method, path, named, methods)
				}
				s.As("").Send(t, r).Refused(t, 401, "unauthorized")
			}
		}
	})
	t.Run("HEAD is GET without its body", func(t *testing.T) {
		for _, path := range []string{"/health", "/positions", "/positions/" + b.position(t).Text("id"), "/institutions/" + b.ID, "/assets/x"} {
			get := b.Admin.Get(t, path)
			head := b.Admin.Send(t, apitest.Request{Method: http.MethodHead, Path: path}).Want(t, get.Status)
			for _, header := range []string{"Content-Type", "Content-Length", "ETag"} {
				if got, want := head.Header.Get(header), get.Header.Get(header); got != want && get.Status < 400 {
					t.Errorf("HEAD %s: %s is %q, of GET it is %q", path, header, got, want)
				}
			}
			if len(head.Body) > 0 {
				t.Errorf("HEAD %s has a body", path)
			}
		}
	})
}
