package httpapi_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

// providerOf is the body of an identity provider.
func providerOf(issuer string, roles fields) fields {
	return fields{"issuer": issuer, "clientId": identitytest.Client, "roleByGroup": roles}
}

// issuer is a provider of tokens, with a key to sign them.
type issuer struct {
	*identitytest.Forge
	key identitytest.Key
	s   *service
}

func (s *service) issuer(tb testing.TB) issuer {
	tb.Helper()
	key := identitytest.NewKey(tb, "k1", jose.ES256)
	return issuer{identitytest.StartForge(tb, key.Public()), key, s}
}

// setFor has the people of an institution come from the provider.
func (i issuer) setFor(tb testing.TB, b bank, roles fields) {
	tb.Helper()
	b.Admin.Put(tb, "/institutions/"+b.ID+"/identity-provider", providerOf(i.Issuer, roles).String()).Want(tb, 200)
}

// token is the header with a token of a person in some groups.
func (i issuer) token(tb testing.TB, groups []string, changes fields) string {
	tb.Helper()
	claims := fields{"groups": groups, "name": "Ada Lovelace", "email": "ada@example.com"}
	maps.Copy(claims, changes)
	return "Authorization: Bearer " + i.key.Sign(tb, nil, i.Claims(i.s.clock.now(), claims))
}

var staff = []string{"staff"}

func TestPeopleComeWithTheirTokens(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, from, nobody := s.bank(t), s.issuer(t), s.As("")
		nobody.Get(t, "/me", from.token(t, staff, nil)).Refused(t, 401, "token_issuer_unknown")
		from.setFor(t, b, fields{"staff": "operator", "checkers": "auditor"})
		token := from.token(t, staff, nil)
		me := nobody.Get(t, "/me", token).Want(t, 200)
		user := me.Text("actor")
		if !strings.HasPrefix(user, "usr_") || me.Text("via") != "token" || me.Text("institutionId") != b.ID ||
			me.Text("user.name") != "Ada Lovelace" || me.Text("groups.0") != "staff" {
			t.Errorf("the user is told %s", me)
		}

		made := nobody.Post(t, "/positions", b.claim().String(), token, "X-Request-Id: made").Want(t, 201)
		audit := b.Admin.Get(t, "/audit-events?kind=POSITION_CREATED").Want(t, 200)
		if audit.Text("data.0.actor") != user || s.logged(t, "made")["actor"] != user {
			t.Errorf("%s is not who made %s: %s", user, made.Text("id"), audit)
		}
		if raw := strings.Fields(token)[2]; strings.Contains(s.logs.String(), raw) || strings.Contains(s.logs.String(), "Lovelace") {
			t.Error("the log tells the token or the name")
		}
		nobody.Get(t, "/audit-events", token).Refused(t, 403, "permission_missing")
		nobody.Get(t, "/audit-events", from.token(t, []string{"checkers"}, nil)).Want(t, 200)

		// Who connects a provider has to find out what is wrong with its tokens.
		for name, test := range map[string]struct{ header, tells string }{
			"expired":          {from.token(t, staff, fields{"exp": s.clock.now().Add(-2 * time.Minute).Unix()}), "The token has expired, at "},
			"of another":       {"Authorization: Bearer " + identitytest.NewKey(t, "k1", jose.ES256).Sign(t, nil, from.Claims(s.clock.now(), nil)), "its signature is wrong"},
			"without a signer": {"Authorization: Bearer " + identitytest.Unsigned(`{"alg":"none"}`, `{"iss":"`+from.Issuer+`","aud":"escrowgrid","sub":"id1"}`, []byte("none")), "its algorithm is not allowed"},
			"without a claim":  {from.token(t, staff, fields{"sub": nil}), "it has no subject"},
			"ahead of time":    {from.token(t, staff, fields{"iat": s.clock.now().Add(2 * time.Minute).Unix()}), "the clock of this server"},
		} {
			t.Run("a token that is "+name, func(t *testing.T) {
				id := strings.ReplaceAll(name, " ", "-")
				refused := nobody.Get(t, "/me", test.header, "X-Request-Id: "+id).Refused(t, 401, "invalid_token")
				reason, _ := s.logged(t, id)["reason"].(string)
				if detail := refused.Problem(t).Detail; !strings.Contains(detail, test.tells) || reason == "" || !strings.Contains(detail, reason) {
					t.Errorf("the answer is %q, and the log has the reason %q", detail, reason)
				}
			})
		}
		for _, issuer := range []string{"https://nobody.example.com", "a\x00b", "\u00fc", strings.Repeat("x", 300), "' OR 1=1"} {
			nobody.Get(t, "/me", from.token(t, staff, fields{"iss": issuer})).Refused(t, 401, "token_issuer_unknown")
		}
		nobody.Get(t, "/me", from.token(t, staff, fields{"aud": "others"})).Refused(t, 401, "token_issuer_unknown")
		nobody.Get(t, "/me", "X-API-KEY: "+strings.Fields(token)[2]).Refused(t, 401, "invalid_api_key")
	})
}

func TestAPersonIsOutAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, from, nobody := s.bank(t), s.issuer(t), s.As("")
		from.setFor(t, b, fields{"staff": "operator"})
		token := from.token(t, staff, nil)
		user := nobody.Get(t, "/me", token).Want(t, 200).Text("actor")
		at := "/institutions/" + b.ID + "/users/" + user
		cookie := s.cookie(t, nobody.Post(t, "/sessions", "", token).Want(t, 201))

		nobody.Post(t, "/positions", b.claim().String(), from.token(t, nil, nil)).Refused(t, 403, "permission_missing")
		b.Admin.Post(t, at+"/suspend", "").Want(t, 200)
		nobody.Get(t, "/me", token).Refused(t, 401, "invalid_token")
		nobody.Post(t, "/positions", b.claim().String(), token).Refused(t, 401, "invalid_token")
		nobody.Get(t, "/me", cookie).Refused(t, 401, "invalid_session")
		if got := s.Walk(t, "/institutions/"+b.ID+"/users", "id"); len(got) != 0 {
			t.Errorf("suspended users are listed: %v", got)
		}
		if got := s.Walk(t, "/institutions/"+b.ID+"/users?includeSuspended=true", "id"); !slices.Equal(got, []string{user}) {
			t.Errorf("the users are %v", got)
		}

		b.Admin.Post(t, at+"/restore", "", `If-Match: "1"`).Refused(t, 412, "version_mismatch")
		b.Admin.Post(t, at+"/restore", "", `If-Match: "2"`).Want(t, 200)
		nobody.Get(t, "/me", token).Want(t, 200)
		nobody.Get(t, "/me", cookie).Refused(t, 401, "invalid_session")

		b.Admin.Send(t, apitest.Request{Method: http.MethodDelete, Path: "/institutions/" + b.ID + "/identity-provider"}).Want(t, 204)
		nobody.Get(t, "/me", token).Refused(t, 401, "token_issuer_unknown")
		nobody.Post(t, "/positions", b.claim().String(), token).Refused(t, 401, "token_issuer_unknown")
	})
}

// Nobody can keep an institution from naming the provider of another: it must catch nobody by it.
func TestAnotherInstitutionsProviderCatchesNobody(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	good, evil, from, nobody := s.bank(t), s.bank(t), s.issuer(t), s.As("")
	from.setFor(t, good, fields{"staff": "operator"})
	token := from.token(t, staff, nil)
	nobody.Get(t, "/me", token).Want(t, 200)
	nobody.Get(t, "/me", token, "X-Institution-Id: "+good.ID).Want(t, 200)
	nobody.Get(t, "/me", token, "X-Institution-Id: "+evil.ID).Refused(t, 401, "token_issuer_unknown")

	from.setFor(t, evil, fields{"victims": "admin"})
	refused := nobody.Get(t, "/me", token).Refused(t, 401, "token_issuer_unknown")
	if !strings.Contains(refused.Problem(t).Detail, "X-Institution-Id") {
		t.Errorf("it is not told what to do: %s", refused)
	}
	for _, institution := range []string{evil.ID, noInstitution, "x", ""} {
		nobody.Get(t, "/me", token, "X-Institution-Id: "+institution).Refused(t, 401, "token_issuer_unknown")
	}
	nobody.Get(t, "/me", token, "X-Institution-Id: "+good.ID, "X-Institution-Id: "+evil.ID).Refused(t, 401, "token_issuer_unknown")
	if got := nobody.Get(t, "/me", token, "X-Institution-Id: "+good.ID).Want(t, 200).Text("institutionId"); got != good.ID {
		t.Errorf("it acts for %s", got)
	}
	if got := evil.Admin.Walk(t, "/institutions/"+evil.ID+"/users", "id"); len(got) != 0 {
		t.Errorf("the other institution has caught %v", got)
	}
}

func TestAProviderThatIsAway(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b, from, nobody := s.bank(t), s.issuer(t), s.As("")
	from.setFor(t, b, fields{"staff": "operator"})
	known := from.token(t, staff, nil)
	nobody.Get(t, "/me", known).Want(t, 200)
	other := s.issuer(t)
	other.Stop()
	c := s.bank(t)
	other.setFor(t, c, fields{"staff": "operator"})
	from.Stop()
	nobody.Get(t, "/me", from.token(t, staff, fields{"sub": "id2"})).Want(t, 200)
	unknown := s.As("").Send(t, apitest.Request{Method: http.MethodGet, Path: "/me", Headers: []string{other.token(t, staff, nil)}, Unreliable: true})
	unknown.Refused(t, 503, "identity_provider_unavailable")
	if detail := unknown.Problem(t).Detail; !strings.Contains(detail, other.Issuer+"/.well-known/openid-configuration") {
		t.Errorf("it is not told where the provider is asked: %s", detail)
	}
}

func TestTheOperatorsPeople(t *testing.T) {
	var from issuer
	s := serve(t, onSQLite(t), func(c *settings) {
		key := identitytest.NewKey(t, "k1", jose.ES256)
		from = issuer{Forge: identitytest.StartForge(t, key.Public()), key: key}
		c.Operators = &httpapi.Operators{
			Provider: identity.Provider{Issuer: from.Issuer, ClientID: identitytest.Client},
			RoleByGroup: map[string]escrow.OperatorRole{
				"platform": escrow.OperatorRoleRoot, "support": escrow.OperatorRoleReadOnly,
			},
		}
	})
	from.s = s
	b, nobody := s.bank(t), s.As("")
	root, support := from.token(t, []string{"platform"}, nil), from.token(t, []string{"support"}, nil)
	nobody.Post(t, "/institutions", newInstitution(b).String(), root, "X-Request-Id: by-operator").Want(t, 201)
	ada := escrow.NewOperatorID(from.Issuer, "id1").String()
	if line := s.logged(t, "by-operator"); line["actor"] != ada {
		t.Errorf("the log does not tell who it was: %v", line)
	}
	nobody.Get(t, "/positions?institutionId="+b.ID, support).Want(t, 200)
	nobody.Get(t, "/metrics", support).Want(t, 200)
	nobody.Get(t, "/me", from.token(t, staff, nil)).Refused(t, 403, "permission_missing")

	// The reading role is judged before there is a command, and so on every route.
	for _, route := range contractTable {
		method, path, _ := strings.Cut(route.route, " ")
		if method == http.MethodGet || route.takes == public || route.takes == anyKey || route.takes == reading {
			continue
		}
		r := apitest.Request{Method: method, Path: path, Headers: []string{support}}
		nobody.Send(t, r).Refused(t, 403, "permission_missing")
	}

	// An institution that names the operator's provider gets none of its people, nor their rights.
	from.setFor(t, b, fields{"platform": "admin"})
	if got := nobody.Get(t, "/me", root).Want(t, 200).Text("actor"); got != ada {
		t.Errorf("the operator is %s, want %s", got, ada)
	}
	if got := nobody.Get(t, "/me", root, "X-Institution-Id: "+b.ID).Want(t, 200).Text("actor"); !strings.HasPrefix(got, "usr_") {
		t.Errorf("in an institution, somebody of the operator is %s", got)
	}
}

func TestTheRootKeyCanBeTurnedOff(t *testing.T) {
	off := serve(t, onSQLite(t), func(c *settings) { c.RootKeyDisabled = true })
	off.Get(t, "/institutions").Refused(t, 401, "invalid_api_key")
	off.As(metricsKey).Get(t, "/metrics").Want(t, 200)
}

func TestAClientsSecretIsKeptAndNeverShown(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.CheckURL = func(raw string) error {
			if strings.Contains(raw, "inside") {
				return http.ErrNotSupported
			}
			return nil
		}
	})
	b := s.bank(t)
	at := "/institutions/" + b.ID + "/identity-provider"
	body := newProvider(b).with("clientSecret", "s3cret-of-the-client")
	set := b.Admin.Put(t, at, body.String(), "Idempotency-Key: set").Want(t, 200)
	again := b.Admin.Put(t, at, body.String(), "Idempotency-Key: set").Want(t, 200)
	if set.Text("hasSecret") != "true" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the provider is %s, and then %s", set, again)
	}
	b.Admin.Put(t, at, body.with("clientSecret", "another").String(), "Idempotency-Key: set").Refused(t, 422, "idempotency_key_reused")
	for _, answer := range []apitest.Answer{set, again, b.Admin.Get(t, at), b.Admin.Get(t, "/audit-events"), b.Admin.Get(t, "/institutions/"+b.ID+"/journal")} {
		if strings.Contains(string(answer.Body), "s3cret") {
			t.Errorf("the secret is shown: %s", answer)
		}
	}
	if strings.Contains(s.logs.String(), "s3cret") {
		t.Error("the secret is logged")
	}
	b.Admin.Put(t, at, body.with("issuer", "https://inside.example.com").String()).Refused(t, 422, "invalid_input", "issuer")
	b.Admin.Put(t, at, body.without("roleByGroup").String()).Refused(t, 422, "invalid_input", "roleByGroup")
	b.Admin.Put(t, at, body.with("roleByGroup", fields{"a": "holder"}).String()).Refused(t, 422, "invalid_input", "roleByGroup.a")
}
