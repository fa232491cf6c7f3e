package login

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// forgery is what a page of somebody else does in the hope that the browser sends the person's cookie.
type forgery struct {
	name string
	// html is the page, in which ORIGIN is the server's and BANK the person's institution; its
	// function attack begins what it does.
	html string
	// The request that reaches the server: its method, and its route as the log has it.
	method, route string
}

// form is a page with a form whose one field makes a body of JSON.
func form(path, body string) string {
	name, value, _ := strings.Cut(body, "=")
	return fmt.Sprintf(`<form method="post" enctype="text/plain" action="ORIGIN%s"><input name='%s' value='%s'></form>
		<script>attack = () => document.forms[0].submit()</script>`, path, name, value)
}

func script(what string) string { return "<script>attack = () => { " + what + " }</script>" }

// bodyInForm is the body of a position when a form sends it: the name and the value of its field have
// an equals sign between them.
const bodyInForm = `{"assetId":"ASSET","holderReference":"=","currency":"USD","amount":"10"}`

var forgeries = []forgery{
	{"a form that creates a position", form("/positions", bodyInForm), http.MethodPost, "/positions"},
	{"a form that logs out", form("/auth/logout", "="), http.MethodPost, "/auth/logout"},
	{"a form that begins a session", form("/sessions", "="), http.MethodPost, "/sessions"},
	{
		"a script that sends what forms can",
		script(`fetch("ORIGIN/positions", {method: "POST", mode: "no-cors", credentials: "include", body: BODY})`),
		http.MethodPost, "/positions",
	},
	{
		"a script that logs out",
		script(`fetch("ORIGIN/auth/logout", {method: "POST", mode: "no-cors", credentials: "include"})`),
		http.MethodPost, "/auth/logout",
	},
	{
		"a script that sends what forms cannot",
		script(`fetch("ORIGIN/positions", {method: "POST", credentials: "include", body: BODY,
			headers: {"Content-Type": "application/json", "X-EscrowGrid-Console": "1"}})`),
		http.MethodOptions, "preflight",
	},
	{"an image that logs out", script(`new Image().src = "ORIGIN/auth/logout"`), http.MethodGet, "/auth/logout"},
	{"a link that logs out", script(`location = "ORIGIN/auth/logout"`), http.MethodGet, "/auth/logout"},
	{"a link to a change", script(`location = "ORIGIN/institutions/BANK/close"`), http.MethodGet, "/institutions/{id}/close"},
	{"a link to a callback that nobody waits for", script(`location = "ORIGIN/auth/callback?code=x&state=x"`), http.MethodGet, "/auth/callback"},
}

func TestPagesOfOthersChangeNothing(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		b.open(w.loginAt(w.bank, "/me"))
		b.logIn(w.provider, "ada")
		before := b.session(w)

		body := strings.ReplaceAll(bodyInForm, "ASSET", w.bank.AssetID)
		fill := strings.NewReplacer("ORIGIN", w.origin, "BANK", w.bank.InstitutionID, "ASSET", w.bank.AssetID, "BODY", quote(body))
		for i, f := range forgeries {
			path := fmt.Sprintf("/%d", i)
			w.others.show(path, foreignPage{html: fill.Replace(f.html)})
			for who, origin := range map[string]string{"a neighbour": w.neighbour, "a stranger": w.stranger} {
				t.Run(f.name+", of "+who, func(t *testing.T) {
					evil := newTab(t, b.ctx)
					evil.open(origin + path)
					sent := w.requests(f.method, f.route)
					step(evil, chromedp.Evaluate[*string](`void attack()`))
					programtest.Eventually(t, "the request has reached the server", func() bool {
						return w.requests(f.method, f.route) > sent
					})

					mine := &browser{t, b.ctx}
					if after := mine.session(w); after != before {
						t.Errorf("the session was %q, and is %q", before, after)
					}
					if got := w.admin.Walk(t, "/positions", "id"); len(got) != 0 {
						t.Errorf("the positions are %v", got)
					}
				})
			}
		}
	})
}

// Nobody else's page reads what a session may, or shows it in a frame of its own.
func TestPagesOfOthersReadNothing(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		b.open(w.loginAt(w.bank, "/me"))
		b.logIn(w.provider, "ada")
		w.others.show("/frame", foreignPage{html: `<iframe src="` + w.origin + `/me"></iframe>`})

		for who, origin := range map[string]string{"a neighbour": w.neighbour, "a stranger": w.stranger} {
			evil := b.tab()
			blocked := evil.blocked()
			evil.open(origin + "/frame")
			if got := blocked.Load(); got != 1 {
				t.Errorf("of the pages that %s frames, %d are blocked", who, got)
			}
			for _, mode := range []string{"cors", "no-cors"} {
				if got := evil.fetchAs(mode, w.origin+"/me"); got != "refused" {
					t.Errorf("a script of %s reads %s", who, got)
				}
			}
		}
		if b.session(w) == "" {
			t.Error("there was nothing to read")
		}
	})
}

// blocked counts the pages that the tab may not show from now on.
func (b *browser) blocked() *atomic.Int64 {
	b.t.Helper()
	count := new(atomic.Int64)
	err := chromedp.Listen(b.ctx, func(event any) {
		if failed, ok := event.(*network.EventLoadingFailed); ok && failed.Type == network.ResourceTypeDocument {
			count.Add(1)
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return count
}

// fetchAs has a script of the page read a URL in a mode, with cookies. It returns "refused" where the
// browser hands it nothing at all.
func (b *browser) fetchAs(mode, url string) string {
	b.t.Helper()
	return step(b, chromedp.Evaluate[string](`fetch(`+quote(url)+`, {mode: `+quote(mode)+`, credentials: "include"})
		.then(async answer => answer.type + " " + await answer.text()).catch(() => "refused")`, chromedp.EvalAwaitPromise))
}

// session is that of a person in the browser, by its id; empty where there is none.
func (b *browser) session(w *world) string {
	b.t.Helper()
	var me struct{ Session struct{ ID string } }
	shown := b.open(w.origin + "/me")
	if err := json.Unmarshal([]byte(shown.text), &me); err != nil {
		b.t.Fatalf("/me shows %d %s: %v", shown.status, shown.text, err)
	}
	return me.Session.ID
}

// requests counts the requests that the server has answered, by method and the pattern of the route.
func (w *world) requests(method, route string) (count int) {
	for line := range strings.Lines(w.server.Log()) {
		var logged struct{ Msg, Method, Route string }
		if json.Unmarshal([]byte(line), &logged) == nil && logged.Msg == "request" &&
			logged.Method == method && logged.Route == route {
			count++
		}
	}
	return count
}
