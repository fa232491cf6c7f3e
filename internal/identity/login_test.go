package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

// callback is what a browser brought back, as the caller of Finish reads it.
func callback(query url.Values) Callback {
	return Callback{
		State: query.Get("state"), Code: query.Get("code"), Issuer: query.Get("iss"), Error: query.Get("error"),
	}
}

func realProvider(p *identitytest.Provider) Provider {
	return Provider{Issuer: p.Issuer, ClientID: identitytest.Client, ClientSecret: identitytest.Secret}
}

func begin(t *testing.T, v fixture, p Provider) Login {
	t.Helper()
	login, err := v.Begin(t.Context(), p, identitytest.RedirectURI)
	if err != nil {
		t.Fatal(err)
	}
	return login
}

func TestLogsAPersonInAtARealProvider(t *testing.T) {
	for name, c := range map[string]struct {
		client, secret string
		userinfo       bool
	}{
		"with a secret":                         {identitytest.Client, identitytest.Secret, false},
		"without a secret":                      {identitytest.PublicClient, "", false},
		"claims at the UserInfo endpoint alone": {identitytest.Client, identitytest.Secret, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := identitytest.Start(t)
			p.SetGroups(identitytest.OtherPerson, "approvers")
			if c.userinfo {
				p.KeepClaimsOut()
			}
			v := start(t, p.HTTP())
			provider := Provider{Issuer: p.Issuer, ClientID: c.client, ClientSecret: c.secret}
			begun := begin(t, v, provider)

			// The caller keeps it somewhere in between.
			kept, err := json.Marshal(begun)
			if err != nil {
				t.Fatal(err)
			}
			var login Login
			if err := json.Unmarshal(kept, &login); err != nil {
				t.Fatal(err)
			}
			claims, err := v.Finish(t.Context(), provider, login, callback(p.LogIn(t, begun.AuthURL, identitytest.OtherPerson).Query()))
			if err != nil {
				t.Fatal(err)
			}
			claims.IssuedAt, claims.ExpiresAt = time.Time{}, time.Time{}
			want := Claims{
				Issuer: p.Issuer, Subject: identitytest.OtherPerson, Name: "Test User2", Email: "test-user2@zitadel.ch",
				Groups: []string{"approvers"}, AuthorizedParty: c.client,
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestALoginAsksForWhatItNeeds(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	f.Describe(map[string]any{"scopes_supported": []string{"openid", "email", "groups", "offline_access"}})
	login, again := begin(t, v, forged(f)), begin(t, v, forged(f))
	if login.State == again.State || login.Nonce == again.Nonce || login.CodeVerifier == again.CodeVerifier || login.State == login.Nonce {
		t.Error("two secrets are the same")
	}
	for _, secret := range []string{login.State, login.Nonce, login.CodeVerifier} {
		if len(secret) != 43 { // 256 bits in base64url
			t.Errorf("the secret %q has not 256 bits", secret)
		}
	}

	at, err := url.Parse(login.AuthURL)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"response_type": {"code"}, "client_id": {identitytest.Client}, "redirect_uri": {identitytest.RedirectURI},
		"scope": {"openid email groups"}, "state": {login.State}, "nonce": {login.Nonce},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(login.CodeVerifier)}, "code_challenge_method": {"S256"},
	}
	if diff := cmp.Diff(want, at.Query()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !login.ExpiresAt.Equal(v.now().Add(10 * time.Minute)) {
		t.Errorf("it ends at %s, in %s", login.ExpiresAt, login.ExpiresAt.Sub(v.now()))
	}
}

func TestRefusesToFinishOtherLogins(t *testing.T) {
	p := identitytest.Start(t)
	for name, c := range map[string]struct {
		// change changes a login that would be finished, and what the browser brings back.
		change func(t *testing.T, v fixture, p *Provider, login *Login, back *Callback)
		kind   error
		reason string
	}{
		"another state": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) {
			back.State = secret()
		}, ErrLogin, "state"},
		"no state": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) { back.State = "" }, ErrLogin, "state"},
		"a login that has not begun": {func(_ *testing.T, _ fixture, _ *Provider, login *Login, back *Callback) {
			*login, back.State = Login{}, ""
		}, ErrLogin, "not begun"},
		"another's code, injected": {func(t *testing.T, v fixture, provider *Provider, _ *Login, back *Callback) {
			other := begin(t, v, *provider)
			back.Code = p.LogIn(t, other.AuthURL, identitytest.OtherPerson).Query().Get("code")
		}, ErrRefused, "invalid_grant"},
		"another nonce": {func(_ *testing.T, _ fixture, _ *Provider, login *Login, _ *Callback) {
			login.Nonce = secret()
		}, ErrInvalid, "another login"},
		"another verifier": {func(_ *testing.T, _ fixture, _ *Provider, login *Login, _ *Callback) {
			login.CodeVerifier = oauth2.GenerateVerifier()
		}, ErrRefused, "invalid_grant"},
		"a code that nobody was given": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) {
			back.Code = "made up"
		}, ErrRefused, "invalid_grant"},
		"a code that was used": {func(t *testing.T, v fixture, provider *Provider, login *Login, back *Callback) {
			if _, err := v.Finish(t.Context(), *provider, *login, *back); err != nil {
				t.Fatal(err)
			}
		}, ErrRefused, "invalid_grant"},
		"no code": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) { back.Code = "" }, ErrLogin, "no code"},
		"an error of the provider": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) {
			back.Code, back.Error = "", "access_denied\nforged line"
		}, ErrRefused, "access_denied forged line"},
		"too late": {func(_ *testing.T, v fixture, _ *Provider, _ *Login, _ *Callback) { v.advance(10 * time.Minute) }, ErrLogin, "too long ago"},
		"another provider": {func(_ *testing.T, _ fixture, _ *Provider, login *Login, _ *Callback) {
			login.Issuer = "https://accounts.example.com"
		}, ErrLogin, "another provider"},
		"another client": {func(_ *testing.T, _ fixture, provider *Provider, _ *Login, _ *Callback) {
			provider.ClientID = identitytest.OtherClient
		}, ErrLogin, "another client"},
		"another issuer that answers": {func(_ *testing.T, _ fixture, _ *Provider, _ *Login, back *Callback) {
			back.Issuer = "https://accounts.example.com"
		}, ErrLogin, "another issuer"},
		"a wrong secret": {func(_ *testing.T, _ fixture, provider *Provider, _ *Login, _ *Callback) {
			provider.ClientSecret = "wrong"
		}, ErrRefused, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			v, provider := start(t, p.HTTP()), realProvider(p)
			login := begin(t, v, provider)
			back := callback(p.LogIn(t, login.AuthURL, identitytest.Person).Query())
			c.change(t, v, &provider, &login, &back)
			claims, err := v.Finish(t.Context(), provider, login, back)
			wantError(t, err, c.kind, c.reason)
			if claims.Subject != "" {
				t.Errorf("logged %s in", claims.Subject)
			}
			if back.Code != "" && err != nil && strings.Contains(err.Error(), back.Code) {
				t.Errorf("the error shows the code: %v", err)
			}
		})
	}
}

// exchange is what a forged provider answers at the end of a login.
type exchange struct {
	claims, headers map[string]any
	answer          map[string]any
	status          int
}

func TestVerifiesWhatEndsALogin(t *testing.T) {
	key := es256(t)
	f := identitytest.StartForge(t, key.Public())
	userinfo := f.Issuer + identitytest.UserinfoPath
	for name, c := range map[string]struct {
		exchange
		describe, userinfo map[string]any
		kind               error
		reason             string
	}{
		"all that is asked for":         {},
		"a hash of the access token":    {exchange: exchange{claims: map[string]any{"at_hash": "bSKYhMEmi7CrMtjaMV0P5Q"}}},
		"a hash of another":             {exchange: exchange{claims: map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, kind: ErrInvalid, reason: "another access token"},
		"no nonce":                      {exchange: exchange{claims: map[string]any{"nonce": nil}}, kind: ErrInvalid, reason: "another login"},
		"another audience":              {exchange: exchange{claims: map[string]any{"aud": "other"}}, kind: ErrInvalid, reason: "another audience"},
		"the audience of the API":       {exchange: exchange{claims: map[string]any{"aud": "https://api.example.com"}}, kind: ErrInvalid, reason: "another audience"},
		"another client":                {exchange: exchange{claims: map[string]any{"azp": "other"}}, kind: ErrInvalid, reason: "another client"},
		"an access token instead":       {exchange: exchange{headers: map[string]any{"typ": "at+jwt"}}, kind: ErrInvalid, reason: "an access token in the place"},
		"expired":                       {exchange: exchange{claims: map[string]any{"exp": 1}}, kind: ErrExpired},
		"no ID token":                   {exchange: exchange{answer: map[string]any{"id_token": nil}}, kind: ErrInvalid, reason: "no ID token"},
		"an ID token that is no text":   {exchange: exchange{answer: map[string]any{"id_token": 1}}, kind: ErrInvalid, reason: "no ID token"},
		"an ID token of garbage":        {exchange: exchange{answer: map[string]any{"id_token": "garbage"}}, kind: ErrInvalid, reason: "form"},
		"no access token":               {exchange: exchange{answer: map[string]any{"access_token": nil}}, kind: ErrUnavailable, reason: "token_endpoint"},
		"an error with status 200":      {exchange: exchange{answer: map[string]any{"error": "invalid_grant"}}, kind: ErrRefused, reason: "invalid_grant"},
		"an error of the server":        {exchange: exchange{status: 503, answer: map[string]any{"error": "temporarily_unavailable"}}, kind: ErrUnavailable, reason: "503"},
		"a status without a reason":     {exchange: exchange{status: 400}, kind: ErrUnavailable, reason: "400"},
		"the issuer is not named":       {describe: map[string]any{"authorization_response_iss_parameter_supported": true}, kind: ErrLogin, reason: "another issuer has answered, or none"},
		"claims at UserInfo":            {describe: map[string]any{"userinfo_endpoint": userinfo}, userinfo: map[string]any{"sub": "id1", "groups": []string{"a"}}},
		"UserInfo of somebody else":     {describe: map[string]any{"userinfo_endpoint": userinfo}, userinfo: map[string]any{"sub": "id2"}, kind: ErrInvalid, reason: "somebody else"},
		"UserInfo that cannot be asked": {describe: map[string]any{"userinfo_endpoint": userinfo}, kind: ErrUnavailable, reason: "userinfo_endpoint"},
		"UserInfo with bad groups":      {describe: map[string]any{"userinfo_endpoint": userinfo}, userinfo: map[string]any{"sub": "id1", "groups": 1}, kind: ErrInvalid, reason: "groups"},
		"UserInfo with long groups":     {describe: map[string]any{"userinfo_endpoint": userinfo}, userinfo: map[string]any{"sub": "id1", "groups": longGroups(65)}, kind: ErrInvalid, reason: "32768 bytes together"},
		"UserInfo that is not needed":   {exchange: exchange{claims: map[string]any{"groups": "a", "name": "", "email": ""}}, describe: map[string]any{"userinfo_endpoint": userinfo}},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, nil)
			p := forged(f)
			p.Audience = "https://api.example.com" // Is not whom ID tokens are for.
			f.Describe(c.describe)
			login := begin(t, v, p)
			c.exchange.serve(t, f, key, v, login)
			f.Answer(identitytest.UserinfoPath, http.NotFound)
			if c.userinfo != nil {
				f.AnswerJSON(identitytest.UserinfoPath, http.StatusOK, c.userinfo)
			}

			claims, err := v.Finish(t.Context(), p, login, Callback{State: login.State, Code: "code"})
			if c.kind != nil {
				wantError(t, err, c.kind, c.reason)
			} else if err != nil || claims.Subject != identitytest.Person {
				t.Errorf("%+v, %v", claims, err)
			}
			if c.kind == nil && c.userinfo != nil && !slices.Equal(claims.Groups, []string{"a"}) {
				t.Errorf("groups %v, want those of the UserInfo endpoint", claims.Groups)
			}
		})
	}
}

// serve has a provider answer an exchange.
func (e exchange) serve(t *testing.T, f *identitytest.Forge, key identitytest.Key, v fixture, login Login) {
	t.Helper()
	claims := changed(f.Claims(v.now(), map[string]any{"nonce": login.Nonce}), e.claims)
	for name, value := range e.claims {
		if value == nil {
			delete(claims, name)
		}
	}
	answer := changed(map[string]any{
		"access_token": "opaque", "token_type": "Bearer", "id_token": key.Sign(t, e.headers, claims),
	}, e.answer)
	f.AnswerJSON(identitytest.TokenPath, max(e.status, http.StatusOK), answer)
}

func TestNamesItselfAsTheProviderHasIt(t *testing.T) {
	key := es256(t)
	for name, c := range map[string]struct {
		secret  string
		methods any
		// basic and post are where the secret is sent.
		basic, post bool
		kind        error
	}{
		"nothing said":         {"s3cret", nil, true, false, nil},
		"both":                 {"s3cret", []string{"client_secret_post", "client_secret_basic"}, true, false, nil},
		"in the body":          {"s3cret", []string{"client_secret_post"}, false, true, nil},
		"without a secret":     {"", []string{"client_secret_basic", "none"}, false, false, nil},
		"by other means alone": {"s3cret", []string{"private_key_jwt"}, false, false, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
			f.Describe(map[string]any{"token_endpoint_auth_methods_supported": c.methods})
			p := forged(f)
			p.ClientSecret = c.secret
			login, err := v.Begin(t.Context(), p, identitytest.RedirectURI)
			if c.kind != nil {
				wantError(t, err, c.kind, "takes no client secret")
				return
			}
			if err != nil {
				t.Fatal(err)
			}

			var sent url.Values
			var user, password string
			f.Answer(identitytest.TokenPath, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				sent = r.PostForm
				user, password, _ = r.BasicAuth()
				http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			})
			_, err = v.Finish(t.Context(), p, login, Callback{State: login.State, Code: "code"})
			if err == nil {
				t.Fatal("the provider's refusal is not passed on")
			}
			if basic := user == p.ClientID && password == c.secret; basic != c.basic {
				t.Errorf("in the header: %q, %q", user, password)
			}
			if post := sent.Get("client_secret") != ""; post != c.post || !c.basic && sent.Get("client_id") != p.ClientID {
				t.Errorf("in the body: %v", sent)
			}
			if sent.Get("code_verifier") != login.CodeVerifier || sent.Get("redirect_uri") != identitytest.RedirectURI {
				t.Errorf("in the body: %v", sent)
			}
		})
	}
}

func TestNoLoginWithoutEndpoints(t *testing.T) {
	key := es256(t)
	for _, missing := range []string{"authorization_endpoint", "token_endpoint"} {
		f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
		f.Describe(map[string]any{missing: nil})
		_, err := v.Begin(t.Context(), forged(f), identitytest.RedirectURI)
		wantError(t, err, ErrUnavailable, missing)
		if _, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

func TestNoLoginAtAProviderThatIsDown(t *testing.T) {
	f, v := identitytest.StartForge(t), start(t, nil)
	f.Stop()
	_, err := v.Begin(t.Context(), forged(f), identitytest.RedirectURI)
	wantError(t, err, ErrUnavailable, "")
	_, err = v.Finish(t.Context(), forged(f), Login{}, Callback{})
	wantError(t, err, ErrUnavailable, "")
}

func TestEndlessAnswersEndALogin(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	login := begin(t, v, forged(f))
	f.Answer(identitytest.TokenPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"` + strings.Repeat("x", maxAnswer) + `","token_type":"Bearer"}`))
	})
	_, err := v.Finish(t.Context(), forged(f), login, Callback{State: login.State, Code: "code"})
	wantError(t, err, ErrUnavailable, "too large")
}

// longGroups are groups with names of 512 characters.
func longGroups(count int) (groups []string) {
	for i := range count {
		groups = append(groups, fmt.Sprintf("%0512d", i))
	}
	return groups
}
