package login

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// console is the header that the console's pages send with what changes something.
var console = fields{"X-EscrowGrid-Console": "1", "Content-Type": "application/json"}

func TestAPersonLogsInAndOut(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		form := b.open(w.loginAt(w.bank, "/me?shown=once"))
		if !strings.HasPrefix(form.url, w.provider.issuer+"/") {
			t.Fatalf("the login begins at %s", form.url)
		}
		me := b.logIn(w.provider, "ada")
		if me.url != w.origin+"/me?shown=once" || me.status != 200 || !strings.Contains(me.text, `"name":"Ada Lovelace"`) {
			t.Fatalf("the login ends at %s: %d, %s", me.url, me.status, me.text)
		}
		if got := me.header["Cache-Control"]; got != "no-store" {
			t.Errorf("browsers may keep what a session reads: Cache-Control is %q", got)
		}
		w.checkJoined(t)

		// A page of ours acts for her, in her name.
		b.ours(w.place)
		made := b.fetch(http.MethodPost, "/positions", w.claim(), console)
		if made.Status != http.StatusCreated {
			t.Fatalf("a position is answered with %+v", made)
		}
		creation := w.admin.Get(t, "/audit-events?kind=POSITION_CREATED").Want(t, 200)
		if user := w.admin.Get(t, "/institutions/"+w.bank.InstitutionID+"/users").Text("data.0.id"); user == "" ||
			creation.Text("data.0.actor") != user {
			t.Errorf("%q has not made the position: %s", user, creation)
		}

		if out := b.fetch(http.MethodPost, "/auth/logout", "", console); out.Status != http.StatusNoContent {
			t.Fatalf("the logout is answered with %+v", out)
		}
		if again := b.fetch(http.MethodGet, "/me", "", nil); again.Status != http.StatusUnauthorized {
			t.Errorf("after the logout, a script reads %+v", again)
		}
		if back := b.back(me.url); strings.Contains(back.text, "Lovelace") {
			t.Errorf("after the logout, the button Back shows %s", back.text)
		}
		if again := b.leads(chromedp.Reload()); again.status != http.StatusUnauthorized || strings.Contains(again.text, "Lovelace") {
			t.Errorf("after the logout, the page loaded anew is %d %s", again.status, again.text)
		}
	})
}

// checkJoined checks that the journal tells of Ada's first login, and of her name and address where
// they can be erased.
func (w *world) checkJoined(t *testing.T) {
	t.Helper()
	joined := w.admin.Get(t, "/audit-events?kind=USER_JOINED").Want(t, 200)
	if joined.Text("data.0.details.displayName") != "Ada Lovelace" || joined.Text("data.0.details.email") != "ada@bank.test" ||
		joined.Text("data.1") != "" || !strings.HasPrefix(joined.Text("data.0.subject"), "usr_") {
		t.Errorf("the audit trail tells of %s", joined)
	}

	entries := w.admin.Get(t, "/institutions/"+w.bank.InstitutionID+"/journal?limit=1000").Want(t, 200)
	if content := string(entries.Body); !strings.Contains(content, "USER_JOINED") ||
		strings.Contains(content, "Lovelace") || strings.Contains(content, "ada@bank.test") {
		t.Errorf("the name or the address is in what is hashed: %s", content)
	}
	if log := w.server.Log(); strings.Contains(log, "Lovelace") || strings.Contains(log, "ada@bank.test") {
		t.Error("the name or the address is in the log")
	}
}

func TestTheCookieOfASessionAsChromiumSeesIt(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		b.open(w.loginAt(w.bank, "/me"))
		w.checkCookie(t, b, "escrowgrid-login")
		b.logIn(w.provider, "ada")
		w.checkCookie(t, b, "escrowgrid")

		for name := range b.cookies() {
			if strings.Contains(name, "escrowgrid-login") {
				t.Errorf("the cookie of the login is there after it: %s", name)
			}
		}
		if got := step(b, chromedp.Evaluate[string](`document.cookie`)); got != "" {
			t.Errorf("scripts read the cookie: %q", got)
		}
	})
}

// checkCookie checks a cookie of ours. That its name is allowed says that its domain is the host and
// its path is the root: Chromium keeps no other cookie with __Host-.
func (w *world) checkCookie(t *testing.T, b *browser, name string) {
	t.Helper()
	host := "localhost"
	if w.isSecure {
		host, name = "escrow.bank.test", "__Host-"+name
	}
	cookie := b.cookies()[host+" "+name]
	if cookie == nil {
		t.Fatalf("there is no cookie %s of %s", name, host)
	}
	if cookie.Secure != w.isSecure || !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteLax ||
		cookie.Path != "/" || cookie.Session {
		t.Errorf("%s is %+v", name, cookie)
	}
}
