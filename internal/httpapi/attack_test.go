package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// trusting has a server reach a real provider, which sends browsers back to it.
func trusting(t *testing.T, provider *identitytest.Provider) func(*settings) {
	t.Helper()
	return func(c *settings) {
		c.PublicURL = strings.TrimSuffix(identitytest.RedirectURI, "/auth/callback")
		people := identity.New(identity.Config{
			Client: provider.HTTP(), Now: c.clock.now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		t.Cleanup(people.Close)
		c.Identity = people
	}
}

// bearer is the header with a token.
func bearer(token string) string { return "Authorization: Bearer " + token }

// trust has the people of an institution come from a real provider.
func (b bank) trust(t *testing.T, provider *identitytest.Provider, changes fields) {
	t.Helper()
	set := providerOf(provider.Issuer, fields{"staff": "operator"})
	for name, value := range changes {
		set = set.with(name, value)
	}
	done := b.Admin.Put(t, "/institutions/"+b.ID+"/identity-provider", set.String()).Want(t, 200)
	provider.SendBackTo(done.Text("redirectUri"))
}

// Whoever can read what a provider publishes, has a client or an institution of their own, or tokens for
// something else, gets into no institution with them.
func TestNoTokenOfAnAttackerLetsIn(t *testing.T) {
	eachStoreTrusting(t, func(t *testing.T, s *service, provider *identitytest.Provider) {
		provider.SetGroups(identitytest.Person, "staff")
		b, theirs, nobody := s.bank(t), s.bank(t), s.As("")
		b.trust(t, provider, nil)
		good, _ := provider.Tokens(t, identitytest.Client, identitytest.Person)
		user := nobody.Get(t, "/me", bearer(good)).Want(t, 200).Text("actor")
		elsewhere, api := provider.Tokens(t, identitytest.OtherClient, identitytest.Person)

		own := s.issuer(t)
		own.setFor(t, theirs, fields{"staff": "admin"})
		claims := own.Claims(s.clock.now(), fields{"iss": provider.Issuer, "groups": staff})
		named := identitytest.NewKey(t, "first", jose.RS256)
		parts := strings.Split(good, ".")
		for name, attack := range map[string]struct{ token, code string }{
			"for another client":                    {elsewhere, "token_issuer_unknown"},
			"to call another client's API with":     {api, "token_issuer_unknown"},
			"signed by another under a kid":         {named.Sign(t, nil, claims), "invalid_token"},
			"with a kid of nobody":                  {own.key.Sign(t, nil, claims), "invalid_token"},
			"of another institution's provider":     {own.key.Sign(t, fields{"kid": "first"}, claims), "invalid_token"},
			"with the key that verifies it":         {named.Sign(t, fields{"jwk": named.Public()}, claims), "invalid_token"},
			"that says alg none":                    {identitytest.Unsigned(`{"alg":"none","kid":"first"}`, fields(claims).String(), nil) + "x", "invalid_token"},
			"with the public key as HMAC's secret":  {withPublicKey(t, provider, fields(claims)), "invalid_token"},
			"changed, with the signature of before": {parts[0] + "." + strings.Split(named.Sign(t, nil, claims), ".")[1] + "." + parts[2], "invalid_token"},
		} {
			t.Run("a token "+name, func(t *testing.T) {
				for _, headers := range [][]string{{bearer(attack.token)}, {bearer(attack.token), "X-Institution-Id: " + b.ID}} {
					nobody.Get(t, "/positions", headers...).Refused(t, 401, attack.code)
					nobody.Post(t, "/positions", b.claim().String(), headers...).Refused(t, 401, attack.code)
					nobody.Post(t, "/sessions", "", headers...).Refused(t, 401, attack.code)
				}
			})
		}

		// What is good at their own institution is good there alone.
		there := own.token(t, staff, nil)
		if got := nobody.Get(t, "/me", there).Want(t, 200).Text("institutionId"); got != theirs.ID {
			t.Errorf("a token of their own provider acts for %s", got)
		}
		nobody.Get(t, "/institutions/"+b.ID, there).Refused(t, 404, "institution_not_found")
		nobody.Get(t, "/positions", there, "X-Institution-Id: "+b.ID).Refused(t, 401, "token_issuer_unknown")
		if got := b.Admin.Walk(t, "/institutions/"+b.ID+"/users", "id"); !slices.Equal(got, []string{user}) {
			t.Errorf("the users are %v, and should be %s alone", got, user)
		}
		if got := s.Walk(t, "/positions?institutionId="+b.ID, "id"); len(got) != 0 {
			t.Errorf("positions were made: %v", got)
		}
		nobody.Get(t, "/positions", bearer(good)).Want(t, 200)
	})
}

// eachStoreTrusting runs a test on both stores, with a real provider.
func eachStoreTrusting(t *testing.T, test func(*testing.T, *service, *identitytest.Provider)) {
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { t.Helper(); return onSQLite(t) },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			provider := identitytest.Start(t)
			test(t, serve(t, database(t), trusting(t, provider)), provider)
		})
	}
}

// withPublicKey signs claims with what everybody can read.
func withPublicKey(t *testing.T, provider *identitytest.Provider, claims fields) string {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(provider.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	unsigned := strings.TrimSuffix(identitytest.Unsigned(`{"alg":"HS256","kid":"first"}`, claims.String(), nil), ".")
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	mac.Write([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestTokensEndWithTheirTimeKeyAndGroups(t *testing.T) {
	eachStoreTrusting(t, func(t *testing.T, s *service, provider *identitytest.Provider) {
		provider.SetGroups(identitytest.Person, "staff")
		b, nobody := s.bank(t), s.As("")
		b.trust(t, provider, nil)
		first, _ := provider.Tokens(t, identitytest.Client, identitytest.Person)
		nobody.Post(t, "/positions", b.claim().String(), bearer(first)).Want(t, 201)

		// A group that is gone at the provider is gone in the next token, whatever was remembered.
		provider.SetGroups(identitytest.Person, "others")
		without, _ := provider.Tokens(t, identitytest.Client, identitytest.Person)
		nobody.Post(t, "/positions", b.claim().String(), bearer(without)).Refused(t, 403, "permission_missing")
		nobody.Get(t, "/positions", bearer(without)).Refused(t, 403, "permission_missing")
		provider.SetGroups(identitytest.Person, "staff")

		// A new key is fetched, and what the old one has signed ends with it.
		provider.RotateKey(t, "second")
		second, _ := provider.Tokens(t, identitytest.Client, identitytest.Person)
		s.clock.advance(time.Minute)
		nobody.Post(t, "/positions", b.claim().String(), bearer(second)).Want(t, 201)
		nobody.Get(t, "/positions", bearer(first)).Refused(t, 401, "invalid_token")
		nobody.Post(t, "/positions", b.claim().String(), bearer(first)).Refused(t, 401, "invalid_token")

		// A provider that stops leaves its keys: also somebody who was never here comes in.
		provider.SetGroups(identitytest.OtherPerson, "staff")
		newcomer, _ := provider.Tokens(t, identitytest.Client, identitytest.OtherPerson)
		provider.Stop()
		for range 7 { // Minutes: after five, keys are fetched again.
			nobody.Post(t, "/positions", b.claim().String(), bearer(newcomer)).Want(t, 201)
			nobody.Post(t, "/positions", b.claim().String(), bearer(second)).Want(t, 201)
			s.clock.advance(time.Minute)
		}
		// Whether the provider has this key again nobody can say.
		unknown := apitest.Request{Method: http.MethodGet, Path: "/positions", Headers: []string{bearer(first)}, Unreliable: true}
		nobody.Send(t, unknown).Refused(t, 503, "identity_provider_unavailable")

		s.clock.advance(2 * time.Hour)
		refused := nobody.Get(t, "/positions", bearer(second)).Refused(t, 401, "invalid_token")
		if detail := refused.Problem(t).Detail; !strings.Contains(detail, "expired") {
			t.Errorf("a token that has expired is told %q", detail)
		}
		nobody.Post(t, "/positions", b.claim().String(), bearer(second)).Refused(t, 401, "invalid_token")
	})
}

// login is one that a browser has begun, and has done at the provider.
type login struct{ cookie, callback string }

func (s *service) login(t *testing.T, b bank, provider *identitytest.Provider, person string) login {
	t.Helper()
	begun := s.As("").Get(t, "/auth/login?institutionId="+b.ID).Want(t, 302)
	back := provider.LogIn(t, begun.Header.Get("Location"), person)
	return login{"Cookie: escrowgrid-login=" + cookieOf(t, begun, "escrowgrid-login").Value, back.RequestURI()}
}

// with is the login with another's code, as whoever has got hold of that would try.
func (l login) with(t *testing.T, code string) string {
	t.Helper()
	mixed, query := l.at(t)
	query.Set("code", code)
	mixed.RawQuery = query.Encode()
	return mixed.String()
}

// at is the address of the callback, and its query.
func (l login) at(t *testing.T) (address *url.URL, query url.Values) {
	t.Helper()
	address, err := url.Parse(l.callback)
	if err != nil {
		t.Fatal(err)
	}
	query = address.Query()
	return address, query
}

func (l login) code(t *testing.T) string {
	t.Helper()
	_, query := l.at(t)
	return query.Get("code")
}

// sessionless fails where an answer has the browser keep a session.
func sessionless(t *testing.T, answer apitest.Answer) {
	t.Helper()
	for _, cookie := range (&http.Response{Header: answer.Header}).Cookies() {
		if cookie.Name == "escrowgrid" && cookie.MaxAge >= 0 {
			t.Errorf("%s begins a session", answer.Request)
		}
	}
}

func TestNoLoginIsMixedWithAnother(t *testing.T) {
	eachStoreTrusting(t, func(t *testing.T, s *service, provider *identitytest.Provider) {
		provider.SetGroups(identitytest.Person, "staff")
		provider.SetGroups(identitytest.OtherPerson, "staff")
		b, browser := s.bank(t), s.As("")
		b.trust(t, provider, fields{"clientSecret": identitytest.Secret})
		refused := func(what, path, cookie string) {
			t.Helper()
			answer := browser.Get(t, path, cookie)
			answer.Refused(t, 400, "login_failed")
			sessionless(t, answer)
			if t.Failed() {
				t.Fatal(what)
			}
		}

		// The code of a victim brings nothing to another browser, nor does it the victim to an attacker's account.
		victim, attacker := s.login(t, b, provider, identitytest.Person), s.login(t, b, provider, identitytest.OtherPerson)
		refused("an attacker's callback in the victim's browser", attacker.callback, victim.cookie)
		refused("the victim's callback in the attacker's browser", victim.callback, attacker.cookie)
		refused("the victim's code in the attacker's login", attacker.with(t, victim.code(t)), attacker.cookie)
		// Nor does any of that end the victim's own login.
		browser.Get(t, victim.callback, victim.cookie).Want(t, 303)

		// A session that somebody else has put into the browser is not that of the login.
		planted := s.cookie(t, b.Admin.Post(t, "/sessions", "").Want(t, 201))
		again := s.login(t, b, provider, identitytest.Person)
		done := browser.Get(t, again.callback, again.cookie+"; "+strings.TrimPrefix(planted, "Cookie: ")).Want(t, 303)
		fresh := s.cookie(t, done)
		if fresh == planted || !strings.HasPrefix(browser.Get(t, "/me", fresh).Want(t, 200).Text("actor"), "usr_") {
			t.Error("the login goes on with the session that was there before")
		}
		browser.Get(t, "/me", planted).Refused(t, 401, "invalid_session")
		made := s.login(t, b, provider, identitytest.Person)
		done = browser.Get(t, made.callback, made.cookie+"; escrowgrid=egs_"+strings.Repeat("0", 49)).Want(t, 303)
		browser.Get(t, "/me", s.cookie(t, done)).Want(t, 200)
		browser.Get(t, "/me", "Cookie: escrowgrid=egs_"+strings.Repeat("0", 49)).Refused(t, 401, "invalid_session")
		refused("a callback once more", made.callback, made.cookie)
	})
}

// An attacker has an institution and a provider of their own, and sends a person who logs in there on to the
// person's provider, with a login of the attacker's that waits for the code. That provider does not say who
// answers (RFC 9207): the code must not get to the attacker's.
func TestNoProviderGetsTheCodeOfAnother(t *testing.T) {
	eachStoreTrusting(t, func(t *testing.T, s *service, provider *identitytest.Provider) {
		provider.SetGroups(identitytest.Person, "staff")
		b, theirs, browser := s.bank(t), s.bank(t), s.As("")
		b.trust(t, provider, fields{"clientSecret": identitytest.Secret})
		evil := s.issuer(t)
		evil.setFor(t, theirs, fields{"staff": "operator"})
		var stolen string
		evil.Answer(identitytest.TokenPath, func(w http.ResponseWriter, r *http.Request) {
			stolen = r.PostFormValue("code")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error": "invalid_grant"}`)
		})

		waits := browser.Get(t, "/auth/login?institutionId="+b.ID).Want(t, 302)
		trap := browser.Get(t, "/auth/login?institutionId="+theirs.ID).Want(t, 302)
		trapped, err := url.Parse(trap.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		on, err := url.Parse(waits.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		asks := on.Query()
		state := asks.Get("state")
		asks.Set("state", trapped.Query().Get("state"))
		on.RawQuery = asks.Encode()

		back := provider.LogIn(t, on.String(), identitytest.Person)
		browser.Get(t, back.RequestURI(), "Cookie: escrowgrid-login="+cookieOf(t, trap, "escrowgrid-login").Value).Refused(t, 400, "login_failed")
		if stolen != "" {
			t.Error("the code of the person's provider was sent to the attacker's")
		}
		l := login{"Cookie: escrowgrid-login=" + cookieOf(t, waits, "escrowgrid-login").Value, back.Path + "?state=" + url.QueryEscape(state)}
		taken := browser.Get(t, l.with(t, stolen), l.cookie)
		sessionless(t, taken)
		taken.Refused(t, 400, "login_failed")
	})
}

// What has changed since a login was begun holds where it ends.
func TestALoginEndsByWhatThereIsThen(t *testing.T) {
	eachStoreTrusting(t, func(t *testing.T, s *service, provider *identitytest.Provider) {
		provider.SetGroups(identitytest.Person, "staff")
		b, browser := s.bank(t), s.As("")
		secret := fields{"clientSecret": identitytest.Secret}
		b.trust(t, provider, secret)
		known := s.login(t, b, provider, identitytest.Person)
		user := browser.Get(t, "/me", s.cookie(t, browser.Get(t, known.callback, known.cookie).Want(t, 303))).Text("actor")
		at := "/institutions/" + b.ID
		ends := func(status int, code string, change func()) apitest.Answer {
			t.Helper()
			l := s.login(t, b, provider, identitytest.Person)
			change()
			answer := browser.Get(t, l.callback, l.cookie)
			answer.Refused(t, status, code)
			sessionless(t, answer)
			return answer
		}

		ends(401, "invalid_token", func() { b.Admin.Post(t, at+"/users/"+user+"/suspend", "").Want(t, 200) })
		b.Admin.Post(t, at+"/users/"+user+"/restore", "").Want(t, 200)
		ends(400, "login_failed", func() { b.trust(t, provider, fields{"clientId": identitytest.OtherClient, "clientSecret": "wrong"}) })
		b.trust(t, provider, secret)
		wrong := ends(400, "login_failed", func() { b.trust(t, provider, fields{"clientSecret": "wrong"}) })
		if detail := wrong.Problem(t).Detail; !strings.Contains(detail, "invalid_client") {
			t.Errorf("it is not told why the provider refuses the client: %s", detail)
		}
		b.trust(t, provider, secret)
		ends(404, "identity_provider_not_found", func() { b.Admin.Send(t, del(at+"/identity-provider")).Want(t, 204) })
		b.trust(t, provider, secret)
		ends(400, "login_failed", func() { s.clock.advance(11 * time.Minute) })

		l := s.login(t, b, provider, identitytest.Person)
		provider.Stop()
		away := browser.Send(t, apitest.Request{Method: http.MethodGet, Path: l.callback, Headers: []string{l.cookie}, Unreliable: true})
		away.Refused(t, 503, "identity_provider_unavailable")
		sessionless(t, away)
	})
}

// A provider that takes a code twice does not make one login two sessions.
func TestACallbackThatIsSentAgainBeginsNothing(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.PublicURL = "http://127.0.0.1" })
	b, from, browser := s.bank(t), s.issuer(t), s.As("")
	from.setFor(t, b, fields{"staff": "operator"})
	begun := browser.Get(t, "/auth/login?institutionId="+b.ID).Want(t, 302)
	at, err := url.Parse(begun.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	claims := from.Claims(s.clock.now(), fields{"nonce": at.Query().Get("nonce"), "groups": staff})
	from.AnswerJSON(identitytest.TokenPath, http.StatusOK, fields{
		"access_token": "x", "token_type": "Bearer", "id_token": from.key.Sign(t, nil, claims),
	})

	callback := callbackOf(t, at) + "?code=any&state=" + url.QueryEscape(at.Query().Get("state"))
	with := "Cookie: escrowgrid-login=" + cookieOf(t, begun, "escrowgrid-login").Value
	browser.Get(t, callback, with).Want(t, 303)
	again := browser.Get(t, callback, with)
	again.Refused(t, 400, "login_failed")
	sessionless(t, again)
	if sessions := b.Admin.Walk(t, "/institutions/"+b.ID+"/sessions", "id"); len(sessions) != 1 || from.Asked(identitytest.TokenPath) != 1 {
		t.Errorf("the sessions are %v, the provider was asked for tokens %d times", sessions, from.Asked(identitytest.TokenPath))
	}
}

// callbackOf is the path that a provider is asked to send the browser back to.
func callbackOf(t *testing.T, at *url.URL) string {
	t.Helper()
	back, err := url.Parse(at.Query().Get("redirect_uri"))
	if err != nil {
		t.Fatal(err)
	}
	return back.Path
}

// A browser can come back to another server than the one that sent it away, and no two take one login.
func TestALoginEndsOnAnyServerOnce(t *testing.T) {
	provider := identitytest.Start(t)
	provider.SetGroups(identitytest.Person, "staff")
	database, keyring := pgtest.Shared(t).NewDatabase(t), newKeyring(t)
	var servers [2]*service
	for i := range servers {
		servers[i] = serve(t, database, sealingUnder(keyring, trusting(t, provider)))
	}
	b := servers[0].bank(t)
	b.trust(t, provider, fields{"clientId": identitytest.PublicClient})
	for i, s := range servers {
		other := servers[1-i]
		l := s.login(t, b, provider, identitytest.Person)
		session := other.cookie(t, other.As("").Get(t, l.callback, l.cookie).Want(t, 303))
		s.As("").Get(t, "/me", session).Want(t, 200)
		for _, s := range servers {
			again := s.As("").Get(t, l.callback, l.cookie)
			again.Refused(t, 400, "login_failed")
			sessionless(t, again)
		}
	}
}

// sealingUnder has several servers seal under one key.
func sealingUnder(keyring *vault.Keyring, change func(*settings)) func(*settings) {
	return func(c *settings) {
		change(c)
		c.Keyring = keyring
	}
}
