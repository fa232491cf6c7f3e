package httpapi_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// cookieOf is the cookie of a name that an answer sets.
func cookieOf(tb testing.TB, answer apitest.Answer, name string) *http.Cookie {
	tb.Helper()
	response := http.Response{Header: answer.Header}
	for _, cookie := range response.Cookies() {
		if cookie.Name == name {
			return cookie
		}
	}
	tb.Fatalf("%s sets no cookie %s: %v", answer.Request, name, answer.Header)
	return nil
}

// cookie is the header with the session that an answer has begun.
func (s *service) cookie(tb testing.TB, answer apitest.Answer) string {
	tb.Helper()
	return "Cookie: escrowgrid=" + cookieOf(tb, answer, "escrowgrid").Value
}

// console are the headers that a page of the server's own adds.
func (s *service) console(cookie string, more ...string) []string {
	return append([]string{cookie, "Origin: " + s.URL, "X-EscrowGrid-Console: 1"}, more...)
}

// forgetsPages reports whether an answer has browsers forget the pages that they keep to go back to.
func forgetsPages(answer apitest.Answer) bool {
	return answer.Header.Get("Clear-Site-Data") == `"cache"`
}

func del(path string, headers ...string) apitest.Request {
	return apitest.Request{Method: http.MethodDelete, Path: path, Headers: headers}
}

func TestAKeyIsExchangedForASession(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, browser := s.bank(t), s.As("")
		begun := b.Admin.Post(t, "/sessions", "", "User-Agent: a browser").Want(t, 201)
		cookie := cookieOf(t, begun, "escrowgrid")
		if !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" || cookie.MaxAge < 11*3600 {
			t.Errorf("the cookie is %v", cookie)
		}
		if strings.Contains(string(begun.Body), cookie.Value) || strings.Contains(s.logs.String(), cookie.Value) || begun.Text("agent") != "a browser" {
			t.Errorf("the session is %s", begun)
		}
		with := s.cookie(t, begun)
		me := browser.Get(t, "/me", with).Want(t, 200)
		if me.Text("via") != "session" || me.Text("session.id") != begun.Text("id") || me.Text("actor") != begun.Text("actor") {
			t.Errorf("with the session, one is %s", me)
		}
		browser.Post(t, "/positions", b.claim().String(), s.console(with)...).Want(t, 201)
		browser.Post(t, "/sessions", "", s.console(with)...).Refused(t, 403, "forbidden")
		b.Admin.Post(t, "/sessions", "", "Idempotency-Key: x").Refused(t, 422, "invalid_input", "Idempotency-Key")

		ended := browser.Post(t, "/auth/logout", "", s.console(with)...).Want(t, 204)
		if gone := cookieOf(t, ended, "escrowgrid"); gone.Value != "" || gone.MaxAge >= 0 || !forgetsPages(ended) {
			t.Errorf("the cookie is not forgotten, or what was read is not: %v", ended.Header)
		}
		refused := browser.Get(t, "/me", with).Refused(t, 401, "invalid_session")
		if gone := cookieOf(t, refused, "escrowgrid"); gone.MaxAge >= 0 || !forgetsPages(refused) {
			t.Errorf("the cookie of a session that has ended is not forgotten, or what was read is not: %v", refused.Header)
		}
		b.Admin.Post(t, "/auth/logout", "").Refused(t, 404, "session_not_found")
	})
}

// A browser sends its cookie by itself, whoever's page has it send a request.
func TestNoOtherPageUsesASession(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b, browser := s.bank(t), s.As("")
	with := s.cookie(t, b.Admin.Post(t, "/sessions", "").Want(t, 201))
	host := strings.TrimPrefix(s.URL, "http://")
	ours, page := "Origin: "+s.URL, "X-EscrowGrid-Console: 1"
	for name, headers := range map[string][]string{
		"without anything":       nil,
		"without the header":     {ours},
		"with a wrong header":    {ours, "X-EscrowGrid-Console: true"},
		"without an origin":      {page},
		"of another origin":      {page, "Origin: https://evil.example.com"},
		"of another port":        {page, "Origin: http://127.0.0.1:1"},
		"of no origin":           {page, "Origin: null"},
		"of a longer host":       {page, "Origin: http://" + host + ".evil.example.com"},
		"of a host as a user":    {page, "Origin: http://" + host + "@evil.example.com"},
		"of another scheme":      {page, "Origin: ftp://" + host},
		"with a user":            {page, "Origin: http://evil.example.com@" + host},
		"with a path":            {page, ours + "/evil"},
		"with two origins":       {page, ours, "Origin: https://evil.example.com"},
		"that crosses sites":     {page, ours, "Sec-Fetch-Site: cross-site"},
		"that is a form's":       {page, ours, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"},
		"with the referrer only": {page, "Referer: " + s.URL + "/"},
	} {
		t.Run("a request "+name, func(t *testing.T) {
			browser.Post(t, "/positions", b.claim().String(), append(headers, with)...).Refused(t, 403, "origin_not_allowed")
			browser.Send(t, del("/sessions/x", append(headers, with)...)).Refused(t, 403, "origin_not_allowed")
		})
	}
	if positions := b.Admin.Walk(t, "/positions", "id"); len(positions) != 0 {
		t.Errorf("positions were made: %v", positions)
	}
	browser.Get(t, "/positions", with, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors").Refused(t, 403, "origin_not_allowed")
	browser.Get(t, "/positions", with, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate").Want(t, 200)
	browser.Get(t, "/positions", with, "Sec-Fetch-Site: same-origin").Want(t, 200)
	browser.Post(t, "/positions", b.claim().String(), s.console(with, "Sec-Fetch-Site: same-origin")...).Want(t, 201)

	// Who shows a key means that, and its request is nobody else's.
	browser.Post(t, "/positions", b.claim().String(), with, "X-API-KEY: "+b.Admin.Key, "Origin: https://evil.example.com").Want(t, 201)
	browser.Get(t, "/positions", with, "Cookie: escrowgrid=egs_other").Refused(t, 401, "unauthorized")
	browser.Get(t, "/positions", strings.Replace(with, "escrowgrid", "__Host-escrowgrid", 1)).Refused(t, 401, "unauthorized")
}

func TestBehindHTTPSTheCookieIsTheHostsOwn(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.PublicURL = "https://escrow.example.com" })
	b, browser := s.bank(t), s.As("")
	begun := b.Admin.Post(t, "/sessions", "").Want(t, 201)
	cookie := cookieOf(t, begun, "__Host-escrowgrid")
	if !cookie.Secure || !cookie.HttpOnly || cookie.Path != "/" || cookie.Domain != "" {
		t.Errorf("the cookie is %v", cookie)
	}
	with := "Cookie: __Host-escrowgrid=" + cookie.Value
	browser.Get(t, "/me", with).Want(t, 200)
	browser.Get(t, "/me", "Cookie: escrowgrid="+cookie.Value).Refused(t, 401, "unauthorized")
	browser.Post(t, "/positions", b.claim().String(), with, "X-EscrowGrid-Console: 1", "Origin: "+s.URL).Refused(t, 403, "origin_not_allowed")
	browser.Post(t, "/positions", b.claim().String(), with, "X-EscrowGrid-Console: 1", "Origin: https://escrow.example.com").Want(t, 201)
}

func TestASessionEndsWithItsKey(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, browser := s.bank(t), s.As("")
		keys := "/institutions/" + b.ID + "/api-keys"
		for name, end := range map[string]func(key string){
			"revoked": func(key string) { b.Admin.Post(t, keys+"/"+key+"/revoke", "").Want(t, 200) },
			"rotated": func(key string) { b.Admin.Post(t, keys+"/"+key+"/rotate", `{"overlapSeconds": 600}`).Want(t, 201) },
		} {
			key := b.Admin.Post(t, keys, newKey(b).String()).Want(t, 201)
			with := s.cookie(t, s.As(key.Text("apiKey")).Post(t, "/sessions", "").Want(t, 201))
			browser.Get(t, "/me", with).Want(t, 200)
			end(key.Text("id"))
			browser.Get(t, "/me", with).Refused(t, 401, "invalid_session")
			browser.Post(t, "/positions", b.claim().String(), s.console(with)...).Refused(t, 401, "invalid_session")
			if name == "revoked" {
				s.As(key.Text("apiKey")).Post(t, "/sessions", "").Refused(t, 401, "invalid_api_key")
			}
		}
		narrow := b.keyOf(t, newKey(b).with("allowedNetworks", []string{"127.0.0.0/8"}))
		with := s.cookie(t, s.As(narrow).Post(t, "/sessions", "").Want(t, 201))
		s.clock.advance(escrow.SessionIdleTime + 3*time.Minute)
		browser.Get(t, "/me", with).Refused(t, 401, "invalid_session")
	})
}

func TestSessionsAreOnesOwn(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		mine, reader := b.Admin.Post(t, "/sessions", "").Want(t, 201), b.ReadOnly.Post(t, "/sessions", "").Want(t, 201)
		foreign := other.Admin.Post(t, "/sessions", "").Want(t, 201)
		if got := b.ReadOnly.Walk(t, "/sessions", "id"); !slices.Equal(got, []string{reader.Text("id")}) {
			t.Errorf("one's own sessions are %v", got)
		}
		all := "/institutions/" + b.ID + "/sessions"
		if got := b.Admin.Walk(t, all, "id"); !slices.Equal(got, []string{mine.Text("id"), reader.Text("id")}) {
			t.Errorf("the sessions of the institution are %v", got)
		}
		if got := b.Admin.Walk(t, all+"?actor="+reader.Text("actor"), "id"); !slices.Equal(got, []string{reader.Text("id")}) {
			t.Errorf("the sessions of one key are %v", got)
		}
		b.Admin.Get(t, all+"?actor=somebody").Refused(t, 422, "invalid_input", "actor")
		for _, id := range []string{mine.Text("id"), foreign.Text("id"), "x"} {
			b.ReadOnly.Send(t, del("/sessions/"+id)).Refused(t, 404, "session_not_found")
		}
		b.Admin.Send(t, del(all+"/"+foreign.Text("id"))).Refused(t, 404, "session_not_found")
		b.Admin.Send(t, del(all+"/"+reader.Text("id"))).Want(t, 204)
		s.As("").Get(t, "/me", s.cookie(t, reader)).Refused(t, 401, "invalid_session")
		b.Admin.Send(t, del("/sessions/"+mine.Text("id"))).Want(t, 204)
		b.Admin.Send(t, del("/sessions/"+mine.Text("id"))).Refused(t, 404, "session_not_found")
	})
}

func TestLogsInWithABrowser(t *testing.T) {
	provider := identitytest.Start(t)
	provider.SetGroups(identitytest.Person, "staff")
	s := serve(t, onSQLite(t), trusting(t, provider))
	b, browser := s.bank(t), s.As("")
	begin := "/auth/login?institutionId=" + b.ID
	browser.Get(t, begin).Refused(t, 404, "identity_provider_not_found")
	set := providerOf(provider.Issuer, fields{"staff": "operator"}).with("clientSecret", identitytest.Secret)
	kept := b.Admin.Put(t, "/institutions/"+b.ID+"/identity-provider", set.String()).Want(t, 200)
	if back := kept.Text("redirectUri"); back != identitytest.RedirectURI+"/"+b.ID {
		t.Errorf("the provider is to send browsers back to %s", back)
	}
	provider.SendBackTo(kept.Text("redirectUri"))

	for _, elsewhere := range []string{"https://evil.example.com", "//evil.example.com", `/\evil.example.com`, "evil", "/a%0d%0ab\n", "/" + strings.Repeat("x", 512)} {
		browser.Get(t, begin+"&returnTo="+url.QueryEscape(elsewhere)).Refused(t, 422, "invalid_input", "returnTo")
	}
	browser.Get(t, "/auth/login").Refused(t, 422, "invalid_input", "institutionId")
	browser.Get(t, "/auth/login?institutionId=x").Refused(t, 422, "invalid_input", "institutionId")

	begun := browser.Get(t, begin+"&returnTo=/console%3Fpage=2").Want(t, 302)
	cookie := cookieOf(t, begun, "escrowgrid-login")
	if !cookie.HttpOnly || cookie.MaxAge > 600 || cookie.MaxAge <= 0 || len(cookie.Value) > 3800 {
		t.Errorf("the cookie of the login is %v", cookie)
	}
	back := provider.LogIn(t, begun.Header.Get("Location"), identitytest.Person)
	callback, with := back.RequestURI(), "Cookie: escrowgrid-login="+cookie.Value
	forged := url.Values{"code": back.Query()["code"], "state": {"made up"}}
	browser.Get(t, back.Path+"?"+forged.Encode(), with).Refused(t, 400, "login_failed")
	for _, elsewhere := range []string{"/auth/callback", "/auth/callback/x", "/auth/callback/" + s.bank(t).ID} {
		browser.Get(t, elsewhere+"?"+back.RawQuery, with).Refused(t, 400, "login_failed")
	}
	browser.Get(t, callback).Refused(t, 400, "login_failed")
	browser.Get(t, callback, with[:len(with)-2]+"AA").Refused(t, 400, "login_failed")
	foreign := cookieOf(t, browser.Get(t, begin).Want(t, 302), "escrowgrid-login")
	browser.Get(t, callback, "Cookie: escrowgrid-login="+foreign.Value).Refused(t, 400, "login_failed")

	former := s.cookie(t, b.Admin.Post(t, "/sessions", "").Want(t, 201))
	done := browser.Get(t, callback, with+"; "+strings.TrimPrefix(former, "Cookie: ")).Want(t, 303)
	if !forgetsPages(done) {
		t.Error("what the session before the login has read is not forgotten")
	}
	if done.Header.Get("Location") != "/console?page=2" || cookieOf(t, done, "escrowgrid-login").MaxAge >= 0 {
		t.Errorf("the browser is sent to %s with %v", done.Header.Get("Location"), done.Header)
	}
	me := browser.Get(t, "/me", s.cookie(t, done)).Want(t, 200)
	if !strings.HasPrefix(me.Text("actor"), "usr_") || me.Text("via") != "session" || me.Text("groups.0") != "staff" {
		t.Errorf("who has logged in is %s", me)
	}
	browser.Get(t, "/me", former).Refused(t, 401, "invalid_session")
	browser.Get(t, callback, with).Refused(t, 400, "login_failed")
}

func TestLoginsNeedToBeConfigured(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	aProvider(t, b)
	s.As("").Get(t, "/auth/login?institutionId="+b.ID).Refused(t, 409, "login_not_configured")
	s.As("").Get(t, "/auth/callback?state=x&code=y", "Cookie: escrowgrid-login=x").Refused(t, 400, "login_failed")
}

// What ends on one server has ended on every other, from the answer on.
func TestTheEndHoldsOnAnotherServer(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	one, two := serve(t, database, nil), serve(t, database, nil)
	b, from := one.bank(t), one.issuer(t)
	from.setFor(t, b, fields{"staff": "operator"})
	token := from.token(t, staff, nil)
	users := "/institutions/" + b.ID + "/users/"
	session := func() (string, apitest.Answer) {
		begun := one.As("").Post(t, "/sessions", "", token).Want(t, 201)
		cookie := one.cookie(t, begun)
		two.As("").Get(t, "/me", cookie).Want(t, 200)
		return cookie, begun
	}
	gone := func(cookie string) {
		t.Helper()
		two.As("").Get(t, "/me", cookie).Refused(t, 401, "invalid_session")
		two.As("").Post(t, "/positions", b.claim().String(), two.console(cookie)...).Refused(t, 401, "invalid_session")
	}

	cookie, begun := session()
	user := begun.Text("actor")
	one.As("").Post(t, "/auth/logout", "", one.console(cookie)...).Want(t, 204)
	gone(cookie)
	cookie, begun = session()
	b.Admin.Send(t, del("/institutions/"+b.ID+"/sessions/"+begun.Text("id"))).Want(t, 204)
	gone(cookie)
	cookie, _ = session()
	b.Admin.Post(t, users+user+"/suspend", "").Want(t, 200)
	gone(cookie)
	two.As("").Get(t, "/me", token).Refused(t, 401, "invalid_token")
	two.As("").Post(t, "/positions", b.claim().String(), token).Refused(t, 401, "invalid_token")
	b.Admin.Post(t, users+user+"/restore", "").Want(t, 200)
	gone(cookie)

	cookie, _ = session()
	b.Admin.Send(t, del("/institutions/"+b.ID+"/identity-provider")).Want(t, 204)
	gone(cookie)
	two.As("").Get(t, "/me", token).Refused(t, 401, "token_issuer_unknown")
	two.As("").Post(t, "/positions", b.claim().String(), token).Refused(t, 401, "token_issuer_unknown")
}

func TestAUserHasARateOfTheirOwn(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 1, Burst: 40, InstitutionRPS: 1000, InstitutionBurst: 1000}
	})
	b, from, nobody := s.bank(t), s.issuer(t), s.As("")
	from.setFor(t, b, fields{"staff": "operator"})
	token := from.token(t, staff, nil)
	limited := false
	for range 200 {
		if answer := nobody.Get(t, "/me", token); answer.Status == http.StatusTooManyRequests {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("a user sends as much as they like")
	}
	nobody.Get(t, "/me", from.token(t, staff, fields{"sub": "id2"})).Want(t, 200)
	b.Admin.Get(t, "/me").Want(t, 200)
}
