package httpapi_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// caller is who sends a request, with what shows it.
type caller struct {
	name string
	// as is how the contract names what the caller may do, and refused the code of the answer to one
	// who may do nothing: such a one has no other.
	as, refused string
	// restricted is what the key is restricted to, empty where it is not.
	restricted string
	secret     string
	headers    []string
	// login begins a session, of a caller who comes with one; nil for others.
	login func(testing.TB) string
	// id is what journals call a person.
	id string
}

// send has the caller send a request.
func (c *caller) send(tb testing.TB, s *service, r apitest.Request) apitest.Answer {
	tb.Helper()
	r.Headers = append(slices.Clone(r.Headers), c.headers...)
	return s.As(c.secret).Send(tb, r)
}

// renew has a caller with a session come with another one.
func (c *caller) renew(tb testing.TB, s *service) {
	tb.Helper()
	if c.login != nil {
		c.headers = s.console(c.login(tb))
	}
}

// targets are those of a route that a caller is tried with. Keys of one role differ in their own institution
// alone.
func (c *caller) targets(a agreed) []target {
	if c.restricted == "" || c.as == "holder" {
		return a.targets()
	}
	return slices.DeleteFunc(a.targets(), func(of target) bool { return of != own && of != ownNamed })
}

// keyCallers returns one for each kind of key, of an institution where they have one.
func (s *service) keyCallers(t *testing.T, b bank) []*caller {
	t.Helper()
	revoked := s.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String()).Want(t, 201)
	s.Post(t, "/institutions/"+b.ID+"/api-keys/"+revoked.Text("id")+"/revoke", "").Want(t, 200)
	expired := s.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).with("expiresAt", s.clock.at(time.Minute)).String()).Want(t, 201)
	s.As(expired.Text("apiKey")).Get(t, "/positions").Want(t, 200)
	s.clock.advance(time.Hour)
	callers := []*caller{
		{name: "no key", refused: "unauthorized"},
		{name: "malformed", refused: "invalid_api_key", secret: "egk_" + strings.Repeat("x", 49)},
		{name: "wrong", refused: "invalid_api_key", secret: "egk_" + strings.Repeat("0", 43) + "22Yo4H"},
		{name: "revoked", refused: "invalid_api_key", secret: revoked.Text("apiKey")},
		{name: "expired", refused: "invalid_api_key", secret: expired.Text("apiKey")},
		{name: metricsOnly, as: metricsOnly, secret: metricsKey},
		{name: "read_only", as: "read_only", secret: b.ReadOnly.Key},
		{name: "admin", as: "admin", secret: b.Admin.Key},
		{name: root, as: root, secret: rootKey},
	}
	for _, role := range []string{"operator", "maker", "approver", "compliance", "auditor"} {
		callers = append(callers, &caller{name: role, as: role, secret: b.keyOf(t, newKey(b).with("role", role))})
	}
	for to, restriction := range map[string]fields{
		toTemplates: {"templateIds": []string{b.Template}},
		toAssets:    {"assetIds": []string{b.Asset}},
		toHolders:   {"holderReferences": []any{b.claim()["holderReference"]}},
		toAmounts:   {"maxAmount": fields{"USD": "5000"}},
	} {
		secret := b.keyOf(t, newKey(b).with("restrict", restriction))
		callers = append(callers, &caller{name: "admin of some " + to, as: "admin", restricted: to, secret: secret})
	}
	return append(callers, &caller{name: "holder", as: "holder", restricted: toHolders, secret: b.keyOf(t, holderKey(b))})
}

// holderKey is the body of a key for the holder of the bank's positions.
func holderKey(b bank) fields {
	holder := fields{"holderReferences": []any{b.claim()["holderReference"]}}
	return newKey(b).with("role", "holder").with("restrict", holder)
}

// keyOf makes a key of the institution, and returns its secret.
func (b bank) keyOf(tb testing.TB, key fields) string {
	tb.Helper()
	return b.Admin.Post(tb, "/institutions/"+b.ID+"/api-keys", key.String()).Want(tb, 201).Text("apiKey")
}

// personRoles are the built-in roles that a group can have. Each of these groups has the role of its
// name, in the institutions that people come from.
var personRoles = []string{"admin", "operator", "maker", "approver", "compliance", "auditor", "read_only"}

// withPeople has the people of an institution come from a provider.
func (s *service) withPeople(t *testing.T, b bank) (bank, issuer) {
	t.Helper()
	from := s.issuer(t)
	roles := fields{"staff": "operator"}
	for _, role := range personRoles {
		roles[role] = role
	}
	b.provider = providerOf(from.Issuer, roles)
	aProvider(t, b)
	return b, from
}

// peopleCallers returns a person of each role that comes with a token, persons and keys that come with sessions,
// and those of either kind who are kept out.
func (s *service) peopleCallers(t *testing.T, b bank, from issuer) (callers []*caller) {
	t.Helper()
	person := func(as string) *caller {
		token := from.token(t, []string{as}, fields{"sub": as, "name": as})
		if as == noRole {
			// Who has never had a role never comes in.
			s.As("").Get(t, "/me", from.token(t, []string{"admin"}, fields{"sub": as, "name": as})).Want(t, 200)
		}
		id := s.As("").Get(t, "/me", token).Want(t, 200).Text("actor")
		return &caller{name: "a person who is " + as, as: as, headers: []string{token}, id: id}
	}
	session := func(of *caller) *caller {
		c := &caller{name: "a session of " + of.name, as: of.as, restricted: of.restricted, id: of.id, login: func(tb testing.TB) string {
			tb.Helper()
			return s.cookie(tb, of.send(tb, s, apitest.Request{Method: "POST", Path: "/sessions"}).Want(tb, 201))
		}}
		c.renew(t, s)
		return c
	}
	for _, role := range append([]string{noRole}, personRoles...) {
		callers = append(callers, person(role))
		if role == "admin" || role == "auditor" {
			callers = append(callers, session(callers[len(callers)-1]))
		}
	}
	for _, key := range []*caller{
		{name: "a key that is admin", as: "admin", secret: b.keyOf(t, newKey(b))},
		{name: "a key that is holder", as: "holder", restricted: toHolders, secret: b.keyOf(t, holderKey(b))},
	} {
		callers = append(callers, session(key))
	}
	return append(callers, s.keptOut(t, b, from)...)
}

// keptOut returns persons and sessions that were let in once, and are not any more.
func (s *service) keptOut(t *testing.T, b bank, from issuer) (callers []*caller) {
	t.Helper()
	out := func(name, refused string, headers ...string) {
		callers = append(callers, &caller{name: name, refused: refused, headers: headers})
	}
	nobody := s.As("")
	join := func(from issuer, subject string) (token, id, cookie string) {
		token = from.token(t, []string{"admin"}, fields{"sub": subject})
		begun := nobody.Post(t, "/sessions", "", token).Want(t, 201)
		return token, begun.Text("actor"), s.cookie(t, begun)
	}
	token, id, cookie := join(from, "suspended")
	b.Admin.Post(t, "/institutions/"+b.ID+"/users/"+id+"/suspend", "").Want(t, 200)
	out("a suspended person", "invalid_token", token)
	out("a session of a suspended person", "invalid_session", s.console(cookie)...)
	_, _, cookie = join(from, "logged out")
	nobody.Post(t, "/auth/logout", "", s.console(cookie)...).Want(t, 204)
	out("a session that was ended", "invalid_session", s.console(cookie)...)
	key := b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String()).Want(t, 201)
	cookie = s.cookie(t, s.As(key.Text("apiKey")).Post(t, "/sessions", "").Want(t, 201))
	b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+key.Text("id")+"/revoke", "").Want(t, 200)
	out("a session of a revoked key", "invalid_session", s.console(cookie)...)
	former, formerly := s.withPeople(t, s.bank(t))
	token, _, cookie = join(formerly, "former")
	former.Admin.Send(t, del("/institutions/"+former.ID+"/identity-provider")).Want(t, 204)
	out("a person whose provider was removed", "token_issuer_unknown", token)
	out("a session of one whose provider was removed", "invalid_session", s.console(cookie)...)
	return callers
}
