package httpapi_test

import (
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// The groups of the operator's people in these tests.
var platform, support = []string{"others", "platform"}, []string{"support"}

// peopleOf are the operator's people at a provider.
func peopleOf(issuer string) *httpapi.Operators {
	return &httpapi.Operators{
		Provider: identity.Provider{Issuer: issuer, ClientID: identitytest.Client},
		RoleByGroup: map[string]escrow.OperatorRole{
			"platform": escrow.OperatorRoleRoot, "support": escrow.OperatorRoleReadOnly,
		},
	}
}

// operatedBy serves for an operator whose people come from a provider.
func operatedBy(t *testing.T, databaseURL string, change func(*settings)) (*service, issuer) {
	t.Helper()
	key := identitytest.NewKey(t, "k1", jose.ES256)
	from := issuer{Forge: identitytest.StartForge(t, key.Public()), key: key}
	from.s = serve(t, databaseURL, func(c *settings) {
		c.Operators = peopleOf(from.Issuer)
		if change != nil {
			change(c)
		}
	})
	return from.s, from
}

func eachOperator(t *testing.T, test func(*testing.T, *service, issuer)) {
	for name, database := range map[string]func() string{
		"sqlite": func() string { return onSQLite(t) }, "postgres": func() string { return pgtest.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, from := operatedBy(t, database(), nil)
			test(t, s, from)
		})
	}
}

// What somebody of the operator did is told of them, wherever it is told.
func TestJournalsAndLogsNameTheOperatorsPeople(t *testing.T) {
	eachOperator(t, func(t *testing.T, s *service, from issuer) {
		ada, eve := from.token(t, platform, nil), from.token(t, platform, fields{"sub": "eve"})
		who := escrow.NewOperatorID(from.Issuer, "id1").String()
		nobody := s.As("")
		me := nobody.Get(t, "/me", ada).Want(t, 200)
		if me.Text("actor") != who || me.Text("via") != "token" || me.Text("groups.1") != "platform" || strings.Contains(me.String(), "institutionId") {
			t.Errorf("one of the operator's people is told %s", me)
		}
		if other := nobody.Get(t, "/me", eve).Want(t, 200).Text("actor"); other == who || !strings.HasPrefix(other, "opr_") {
			t.Errorf("another one is %s", other)
		}

		b := s.bank(t)
		claim := b.claim().with("institutionId", b.ID).String()
		position := nobody.Post(t, "/positions", claim, ada, "X-Request-Id: by-ada", "Idempotency-Key: k").Want(t, 201)
		nobody.Post(t, "/positions", claim, eve, "Idempotency-Key: k").Want(t, 201)
		founded := nobody.Post(t, "/institutions", newInstitution(b).String(), ada).Want(t, 201)
		for _, path := range []string{
			"/audit-events?institutionId=" + b.ID + "&actor=" + who, "/audit-events?institutionId=" + founded.Text("id") + "&actor=" + who,
			"/ledger-events?institutionId=" + b.ID,
		} {
			list := s.Get(t, path).Want(t, 200)
			if list.Text("data.0.actor") != who || strings.Contains(list.String(), `"root"`) {
				t.Errorf("%s: %s", path, list)
			}
		}
		if got := s.Get(t, "/positions/"+position.Text("id")+"?institutionId="+b.ID).Want(t, 200); got.Text("events.0.actor") != who {
			t.Errorf("the position tells %s", got)
		}
		if line := s.logged(t, "by-ada"); line["actor"] != who {
			t.Errorf("the log tells %v", line)
		}

		reader := from.token(t, support, fields{"sub": "reader"})
		nobody.Post(t, "/positions", claim, reader).Refused(t, 403, "permission_missing")
		path := "/audit-events?outcome=refused&actor=" + escrow.NewOperatorID(from.Issuer, "reader").String()
		eventually(t, "the refusal is listed", func() bool { return s.Get(t, path).Want(t, 200).Text("data.0.refusal.code") == "permission_missing" })
		if strings.Contains(s.logs.String(), "id1") || strings.Contains(s.logs.String(), "ada@") {
			t.Error("the log tells who it is")
		}
	})
}

func TestWhoHasNoRoleOfTheOperatorsIsRefused(t *testing.T) {
	s, from := operatedBy(t, onSQLite(t), func(c *settings) {
		c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 1_000_000, Burst: 1_000_000}
	})
	nobody := s.As("")
	token := from.token(t, staff, nil)
	refused := nobody.Get(t, "/me", token).Refused(t, 403, "permission_missing")
	if !strings.Contains(refused.Problem(t).Detail, "group") {
		t.Errorf("it is not told why: %s", refused)
	}
	// They have no rate of their own; that of their address ends.
	for range 5000 {
		if nobody.Get(t, "/me", token).Status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("who is nobody asks as often as they like")
}

func TestWhoseGroupHasNoRoleDoesNotJoinAnInstitution(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, from, nobody := s.bank(t), s.issuer(t), s.As("")
		from.setFor(t, b, fields{"staff": "operator"})
		before := len(s.Walk(t, "/audit-events?institutionId="+b.ID, "id"))
		refused := nobody.Get(t, "/me", from.token(t, []string{"others"}, nil)).Refused(t, 403, "permission_missing")
		if !strings.Contains(refused.Problem(t).Detail, "group") {
			t.Errorf("it is not told why: %s", refused)
		}
		none := nobody.Post(t, "/sessions", "", from.token(t, nil, nil)).Refused(t, 403, "permission_missing")
		if !strings.Contains(none.Problem(t).Detail, "names no groups") {
			t.Errorf("it is not told that there are no groups: %s", none)
		}
		if after := len(s.Walk(t, "/audit-events?institutionId="+b.ID, "id")); after != before {
			t.Errorf("%d entries were journaled", after-before)
		}

		user := nobody.Get(t, "/me", from.token(t, staff, nil)).Want(t, 200).Text("actor")
		without := nobody.Get(t, "/me", from.token(t, nil, nil)).Want(t, 200)
		if without.Text("actor") != user || strings.Contains(without.String(), "positions.read") {
			t.Errorf("a user who has lost all groups is %s", without)
		}
		nobody.Get(t, "/positions", from.token(t, nil, nil)).Refused(t, 403, "permission_missing")
	})
}

// loginAt has the operator's people log in at a real provider.
func loginAt(t *testing.T, databaseURL string) (*service, *identitytest.Provider) {
	t.Helper()
	provider := identitytest.Start(t)
	provider.SetGroups(identitytest.Person, "platform")
	return serve(t, databaseURL, func(c *settings) {
		c.PublicURL = strings.TrimSuffix(identitytest.RedirectURI, "/auth/callback")
		people := identity.New(identity.Config{
			Client: provider.HTTP(), Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		t.Cleanup(people.Close)
		c.Identity, c.Operators = people, peopleOf(provider.Issuer)
		c.Operators.Provider.ClientSecret = identitytest.Secret
	}), provider
}

func TestTheOperatorsPeopleLogInWithABrowser(t *testing.T) {
	for name, database := range map[string]func() string{
		"sqlite": func() string { return onSQLite(t) }, "postgres": func() string { return pgtest.Shared(t).NewDatabase(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s, provider := loginAt(t, database())
			b, browser := s.bank(t), s.As("")
			for _, wrong := range []string{"?institutionId=", "?institutionId=x", "?institutionId=inst_00000000000000000000000000", "?institutionId=" + b.ID + "&institutionId=" + b.ID} {
				browser.Get(t, "/auth/login"+wrong).Refused(t, 422, "invalid_input", "institutionId")
			}
			begun := browser.Get(t, "/auth/login?returnTo=/operator").Want(t, 302)
			at, _ := url.Parse(begun.Header.Get("Location"))
			asks := at.Query()
			if !strings.HasPrefix(at.String(), provider.Issuer) || asks.Get("code_challenge_method") != "S256" || asks.Get("state") == "" || asks.Get("nonce") == "" {
				t.Fatalf("the browser is sent to %s", at)
			}
			kept := "Cookie: escrowgrid-login=" + cookieOf(t, begun, "escrowgrid-login").Value
			back := provider.LogIn(t, at.String(), identitytest.Person)
			callback := back.RequestURI()
			browser.Get(t, "/auth/callback/"+b.ID+"?"+back.RawQuery, kept).Refused(t, 400, "login_failed")
			browser.Get(t, callback).Refused(t, 400, "login_failed")
			other := "Cookie: escrowgrid-login=" + cookieOf(t, browser.Get(t, "/auth/login").Want(t, 302), "escrowgrid-login").Value
			browser.Get(t, callback, other).Refused(t, 400, "login_failed")

			// A session that somebody has put into the browser before is not the one that it goes on with.
			planted := s.cookie(t, s.Post(t, "/sessions", "").Want(t, 201))
			done := browser.Get(t, callback, kept+"; "+strings.TrimPrefix(planted, "Cookie: ")).Want(t, 303)
			with := s.cookie(t, done)
			if done.Header.Get("Location") != "/operator" || with == planted {
				t.Errorf("the browser goes on to %s with %s", done.Header.Get("Location"), with)
			}
			browser.Get(t, "/me", planted).Refused(t, 401, "invalid_session")
			browser.Get(t, callback, kept).Refused(t, 400, "login_failed")

			who := escrow.NewOperatorID(provider.Issuer, identitytest.Person).String()
			me := browser.Get(t, "/me", with).Want(t, 200)
			if me.Text("actor") != who || me.Text("via") != "session" || me.Text("session.actor") != who || me.Text("groups.0") != "platform" {
				t.Errorf("who has logged in is %s", me)
			}
			claim := b.claim().with("institutionId", b.ID).String()
			browser.Post(t, "/positions", claim, with, "Origin: https://evil.example.com", "X-EscrowGrid-Console: 1").Refused(t, 403, "origin_not_allowed")
			browser.Post(t, "/positions", claim, with).Refused(t, 403, "origin_not_allowed")
			ours := "Origin: " + strings.TrimSuffix(identitytest.RedirectURI, "/auth/callback")
			browser.Post(t, "/positions", claim, with, ours, "X-EscrowGrid-Console: 1").Want(t, 201)
			if audit := s.Get(t, "/audit-events?kind=POSITION_CREATED&institutionId="+b.ID).Want(t, 200); audit.Text("data.0.actor") != who {
				t.Errorf("the journal tells %s", audit)
			}

			provider.SetGroups(identitytest.Person, "others")
			begun = browser.Get(t, "/auth/login").Want(t, 302)
			kept = "Cookie: escrowgrid-login=" + cookieOf(t, begun, "escrowgrid-login").Value
			back = provider.LogIn(t, begun.Header.Get("Location"), identitytest.Person)
			browser.Get(t, back.RequestURI(), kept).Refused(t, 403, "permission_missing")
			browser.Get(t, "/me", with).Want(t, 200) // The groups are those of the login.
		})
	}
}

// A session of the reading role writes no more than its token does.
func TestReadingOperatorsWriteNothingWithASession(t *testing.T) {
	s, from := operatedBy(t, onSQLite(t), nil)
	b, nobody := s.bank(t), s.As("")
	with := s.cookie(t, nobody.Post(t, "/sessions", "", from.token(t, support, nil)).Want(t, 201))
	nobody.Get(t, "/positions?institutionId="+b.ID, with).Want(t, 200)
	nobody.Get(t, "/audit-events?outcome=refused", with).Want(t, 200)
	for _, route := range contractTable {
		method, path, _ := strings.Cut(route.route, " ")
		if method == http.MethodGet || route.takes == public || route.takes == anyKey || route.takes == reading {
			continue
		}
		nobody.Send(t, apitest.Request{Method: method, Path: path, Headers: s.console(with)}).Refused(t, 403, "permission_missing")
	}
}

func TestTheRootKeyIsExchangedForASession(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		browser := s.As("")
		begun := s.Post(t, "/sessions", "", "X-Request-Id: begun").Want(t, 201)
		with := s.cookie(t, begun)
		me := browser.Get(t, "/me", with, "X-Request-Id: used").Want(t, 200)
		if begun.Text("actor") != "root" || me.Text("actor") != "root" || me.Text("via") != "session" || me.Text("session.id") != begun.Text("id") {
			t.Errorf("the session is %s, and with it one is %s", begun, me)
		}
		if strings.Contains(begun.String()+me.String(), "institutionId") {
			t.Errorf("the session has an institution: %s", begun)
		}
		browser.Post(t, "/institutions", `{"name": "Bank", "regions": ["US"]}`, with).Refused(t, 403, "origin_not_allowed")
		made := browser.Post(t, "/institutions", `{"name": "Bank", "regions": ["US"]}`, s.console(with)...).Want(t, 201)
		if audit := s.Get(t, "/audit-events?institutionId="+made.Text("id")).Want(t, 200); audit.Text("data.0.actor") != "root" {
			t.Errorf("the journal tells %s", audit)
		}
		key := fields{"label": "k", "role": "admin"}.String()
		secret := browser.Post(t, "/institutions/"+made.Text("id")+"/api-keys", key, s.console(with)...).Want(t, 201).Text("apiKey")
		s.As(secret).Get(t, "/me").Want(t, 200)
		browser.Post(t, "/sessions", "", s.console(with)...).Refused(t, 403, "forbidden")
		if line := s.logged(t, "used"); line["actor"] != "root" {
			t.Errorf("the log tells %v", line)
		}
		if log := s.logs.String(); !strings.Contains(log, "a session was begun") || strings.Contains(log, strings.TrimPrefix(with, "Cookie: escrowgrid=")) {
			t.Error("the log does not tell of the session, or tells its token")
		}
		browser.Post(t, "/auth/logout", "", s.console(with)...).Want(t, 204)
		browser.Get(t, "/me", with).Refused(t, 401, "invalid_session")
	})
}

// The root key may come from some networks alone, and its use is watched: a session of it is the same.
func TestASessionOfTheRootKeyComesFromItsNetworks(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	open := serve(t, database, nil)
	with := open.cookie(t, open.Post(t, "/sessions", "").Want(t, 201))
	person, from := operatedBy(t, database, func(c *settings) { c.RootNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	person.As("").Get(t, "/me", with).Refused(t, 403, "address_not_allowed")
	person.Post(t, "/sessions", "").Refused(t, 403, "address_not_allowed")
	person.As("").Post(t, "/sessions", "", from.token(t, platform, nil)).Want(t, 201)

	watched := serve(t, database, func(c *settings) { c.Operators = peopleOf(from.Issuer) })
	used := func() bool {
		text := string(watched.As(metricsKey).Get(t, "/metrics").Want(t, 200).Body)
		return !strings.Contains(text, "\nescrowgrid_root_key_new_addresses_total 0\n")
	}
	if used() {
		t.Error("the root key was used before")
	}
	watched.As("").Get(t, "/me", watched.cookie(t, watched.As("").Post(t, "/sessions", "", from.token(t, platform, nil)))).Want(t, 200)
	if used() {
		t.Error("a session of one of the operator's people counts as a use of the root key")
	}
	watched.As("").Get(t, "/me", with).Want(t, 200)
	if !used() {
		t.Error("a session of the root key does not count as a use of it")
	}
}

// Each server judges a session by its own configuration, which a restart changes.
func TestSessionsOfTheOperatorFollowTheConfiguration(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	before, from := operatedBy(t, database, nil)
	root := before.cookie(t, before.Post(t, "/sessions", "").Want(t, 201))
	person := before.cookie(t, before.As("").Post(t, "/sessions", "", from.token(t, platform, nil)).Want(t, 201))
	const newRootKey = "another-root-key-0123456789abcdefghijklmnopq"
	for name, test := range map[string]struct {
		change               func(*settings)
		wantRoot, wantPerson int
		wantWrites           int
	}{
		"the same":          {func(*settings) {}, 200, 200, 201},
		"a narrower role":   {func(c *settings) { c.Operators.RoleByGroup["platform"] = escrow.OperatorRoleReadOnly }, 200, 200, 403},
		"no role":           {func(c *settings) { delete(c.Operators.RoleByGroup, "platform") }, 200, 401, 401},
		"another client":    {func(c *settings) { c.Operators.Provider.ClientID = "other" }, 200, 401, 401},
		"another issuer":    {func(c *settings) { c.Operators.Provider.Issuer += "/" }, 200, 401, 401},
		"no people":         {func(c *settings) { c.Operators = nil }, 200, 401, 401},
		"another root key":  {func(c *settings) { c.RootKey = newRootKey }, 401, 200, 201},
		"one that replaces": {func(c *settings) { c.RootKey, c.PreviousRootKey = newRootKey, rootKey }, 401, 200, 201},
		"one turned off":    {func(c *settings) { c.RootKeyDisabled = true }, 401, 200, 201},
	} {
		t.Run(name, func(t *testing.T) {
			after := serve(t, database, func(c *settings) {
				people := *peopleOf(from.Issuer)
				people.RoleByGroup = maps.Clone(people.RoleByGroup)
				c.Operators = &people
				test.change(c)
			})
			for cookie, want := range map[string]int{root: test.wantRoot, person: test.wantPerson} {
				if got := after.As("").Get(t, "/me", cookie); got.Status != want {
					t.Errorf("it is answered %s, want %d", got, want)
				}
			}
			if got := after.As("").Post(t, "/institutions", `{"name": "Bank", "regions": ["US"]}`, after.console(person)...); got.Status != test.wantWrites {
				t.Errorf("a command is answered %s, want %d", got, test.wantWrites)
			}
		})
	}
	replacing := serve(t, database, func(c *settings) { c.RootKey, c.PreviousRootKey = newRootKey, rootKey })
	replacing.Post(t, "/sessions", "").Refused(t, 409, "api_key_rotated")
	replacing.As(newRootKey).Post(t, "/sessions", "").Want(t, 201)
}

func TestOperatorsSeeAndEndTheSessionsOfOperators(t *testing.T) {
	database := pgtest.Shared(t).NewDatabase(t)
	one, from := operatedBy(t, database, nil)
	two := serve(t, database, func(c *settings) { c.Operators = peopleOf(from.Issuer) })
	b, nobody := one.bank(t), one.As("")
	begin := func(headers ...string) (cookie, id string) {
		begun := nobody.Post(t, "/sessions", "", headers...).Want(t, 201)
		return one.cookie(t, begun), begun.Text("id")
	}
	ada, adas := begin(from.token(t, platform, nil))
	reader, readers := begin(from.token(t, support, fields{"sub": "reader"}))
	_, roots := begin("X-API-KEY: " + rootKey)
	own := b.Admin.Post(t, "/sessions", "").Want(t, 201).Text("id")

	list := func(what string, want []string, headers ...string) {
		t.Helper()
		var page struct{ Data []struct{ ID string } }
		two.As("").Get(t, "/sessions", headers...).Want(t, 200).Decode(t, &page)
		var got []string
		for _, session := range page.Data {
			got = append(got, session.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", what, got, want)
		}
	}
	list("one with the role root", []string{adas, readers, roots}, ada)
	list("the root key", []string{adas, readers, roots}, "X-API-KEY: "+rootKey)
	list("one with the reading role", []string{readers}, reader)
	list("a key", []string{own}, "X-API-KEY: "+b.Admin.Key)

	gone := func(path string, headers ...string) {
		two.As("").Send(t, del(path, headers...)).Refused(t, 404, "session_not_found")
	}
	gone("/sessions/"+adas, two.console(reader)...)
	gone("/sessions/"+adas, "X-API-KEY: "+b.Admin.Key)
	gone("/institutions/"+b.ID+"/sessions/"+adas, "X-API-KEY: "+rootKey)
	gone("/sessions/"+own, two.console(ada)...)
	two.As("").Send(t, del("/sessions/"+readers, two.console(ada, "X-Request-Id: ended")...)).Want(t, 204)
	nobody.Get(t, "/me", reader).Refused(t, 401, "invalid_session")
	nobody.Get(t, "/positions?institutionId="+b.ID, reader).Refused(t, 401, "invalid_session")
	if log := two.logs.String(); !strings.Contains(log, `"a session was ended","session_id":"`+readers+`","actor":"`+escrow.NewOperatorID(from.Issuer, "id1").String()) {
		t.Error("the log does not tell who ended the session")
	}
	one.Send(t, del("/sessions/"+adas)).Want(t, 204)
	two.As("").Get(t, "/me", ada).Refused(t, 401, "invalid_session")
	two.As("").Post(t, "/institutions", `{"name": "Bank", "regions": ["US"]}`, two.console(ada)...).Refused(t, 401, "invalid_session")
	one.Send(t, del("/institutions/"+b.ID+"/sessions/"+own)).Want(t, 204)
}
