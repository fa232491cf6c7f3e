package login

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// unfinished is a login that ends before the server hears of it: the URL that the provider has sent
// the browser to. It ends where the test says.
func (b *browser) unfinished(w *world, name string) string {
	b.t.Helper()
	var callback string
	b.open(w.loginAt(w.bank, "/me"))
	stopped := b.meets(w.origin+"/auth/callback*", func(url string) bool { callback = url; return false })
	step(b, chromedp.Steps(
		chromedp.SendKeys(chromedp.CSS("[name=name]"), name),
		chromedp.SendKeys(chromedp.CSS("[name=password]"), w.provider.people[name].Password),
		chromedp.Click(chromedp.CSS("button"))))
	<-stopped
	return callback
}

// Mallory has Ada's browser finish Mallory's login, so that Ada works where Mallory looks.
func TestALoginOfSomebodyElseIsNotFinished(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		ada := w.browser(t)
		mallory := ada.another()
		callback := mallory.unfinished(w, "mallory")
		w.others.show("/", foreignPage{html: `<a href="` + strings.ReplaceAll(callback, "&", "&amp;") + `">a prize</a>`})
		lure := func() page {
			trap := ada.tab()
			trap.open(w.stranger + "/")
			return trap.leads(chromedp.Click(chromedp.CSS("a")))
		}

		if got := lure(); got.status != 400 || !strings.Contains(got.text, "login_failed") {
			t.Errorf("the callback of another browser is answered with %d %s", got.status, got.text)
		}
		if got := ada.session(w); got != "" {
			t.Fatalf("Ada has the session %s", got)
		}

		// While she logs in herself, too; and her own login goes on.
		ada.open(w.loginAt(w.bank, "/me"))
		if got := lure(); got.status != 400 || !strings.Contains(got.text, "login_failed") {
			t.Errorf("the callback of another login is answered with %d %s", got.status, got.text)
		}
		if me := ada.logIn(w.provider, "ada"); !strings.Contains(me.text, "Ada Lovelace") {
			t.Errorf("her own login ends with %d %s", me.status, me.text)
		}
		if got := lure(); got.status != 400 || ada.session(w) == "" {
			t.Errorf("after her own login, the callback of another is answered with %d %s", got.status, got.text)
		}

		// It was good all the time, where it belongs.
		if me := mallory.open(callback); !strings.Contains(me.text, "Mallory") {
			t.Errorf("in its own browser, the callback ends with %d %s", me.status, me.text)
		}
	})
}

// Mallory has an institution and a provider, which asks nothing and takes whoever comes for Mallory. A
// link of Mallory's does not take Ada there while she works.
func TestALinkToALoginElsewhereEndsNoSession(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		theirs, trap := w.newBank("The bank of Mallory"), startProvider(t, w.origin+"/auth/callback")
		w.setProviderAt(trap, theirs, fields{"clientId": webClient, "clientSecret": webSecret})
		ada := w.browser(t)
		ada.open(w.loginAt(theirs, "/me"))
		ada.logIn(trap, "mallory") // From now on it asks nothing.
		ada.open(w.loginAt(w.bank, "/me"))
		ada.logIn(w.provider, "ada")
		before := ada.session(w)

		link := strings.ReplaceAll(w.loginAt(theirs, "/me"), "&", "&amp;")
		w.others.show("/", foreignPage{html: `<a href="` + link + `">a prize</a>`})
		for who, origin := range map[string]string{"a neighbour": w.neighbour, "a stranger": w.stranger} {
			evil := ada.tab()
			evil.open(origin + "/")
			got := evil.leads(chromedp.Click(chromedp.CSS("a")))
			if after := ada.session(w); got.status != 403 || after != before {
				t.Errorf("by the link of %s, the session %s becomes %s: %d %s", who, before, after, got.status, got.text)
			}
		}
		if me := ada.open(w.loginAt(theirs, "/me")); !strings.Contains(me.text, theirs.InstitutionID) {
			t.Errorf("on her own, she comes to %d %s", me.status, me.text)
		}
	})
}

// A callback is good once, also for whoever has it together with the cookie of the login.
func TestALoginIsFinishedOnce(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		callback := b.unfinished(w, "ada")
		login := b.loginCookie(w)
		if me := b.open(callback); me.status != 200 || !strings.Contains(me.text, "Ada Lovelace") {
			t.Fatalf("the login ends with %d %s", me.status, me.text)
		}

		again := b.open(callback)
		if again.status != 400 || !strings.Contains(again.text, "login_failed") {
			t.Errorf("the second time, the callback is answered with %d %s", again.status, again.text)
		}
		thief := b.another()
		for _, server := range []string{"the server", "a server that remembers nothing"} {
			thief.plant(w, login.Name, login.Value)
			stolen := thief.open(callback)
			if stolen.status != 400 || !strings.Contains(stolen.text, "login_failed") || thief.session(w) != "" {
				t.Errorf("with the cookie, %s answers the callback with %d %s", server, stolen.status, stolen.text)
			}
			w.restart()
		}
	})
}

func (b *browser) loginCookie(w *world) *network.Cookie {
	b.t.Helper()
	for _, cookie := range b.cookies() {
		if strings.HasSuffix(cookie.Name, "escrowgrid-login") && strings.Contains(w.origin, cookie.Domain) {
			return cookie
		}
	}
	b.t.Fatal("there is no cookie of a login")
	return nil
}

// plant has the browser keep a cookie of the server's that it never got from there.
func (b *browser) plant(w *world, name, value string) {
	b.t.Helper()
	cookie := network.CookieParam{Name: name, Value: value, URL: w.origin + "/", Path: "/", Secure: w.isSecure, HTTPOnly: true}
	step(b, func(ctx context.Context, _ *chromedp.Target) (cdp.Empty, error) {
		return chromedp.CallBrowser(ctx, storage.SetCookies, storage.SetCookiesParams{
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, Cookies: []*network.CookieParam{&cookie},
		})
	})
}

// Mallory has Ada's browser keep the token of a session that Mallory knows, from another host of the
// same site. Behind the proxy that is in vain. On this machine, cookies know no ports; still, who logs
// in gets a session that nobody else knows.
func TestASessionIsNotFixed(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		ada := w.browser(t)
		mallory := ada.another()
		mallory.open(w.loginAt(w.bank, "/me"))
		mallory.logIn(w.provider, "mallory")
		known := mallory.sessionCookie(w)
		shared := ""
		if w.isSecure {
			shared = "; Domain=bank.test"
		}
		w.others.show("/", foreignPage{cookies: []string{
			"escrowgrid=" + known.Value + "; Path=/" + shared,
			"__Host-escrowgrid=" + known.Value + "; Path=/; Secure" + shared,
			"__Host-escrowgrid=" + known.Value + "; Path=/auth; Secure",
			"__host-escrowgrid=" + known.Value + "; Path=/; Secure" + shared,
			"=__Host-escrowgrid=" + known.Value + "; Path=/; Secure" + shared,
		}})

		ada.open(w.neighbour + "/")
		if got := ada.open(w.origin + "/me"); w.isSecure && got.status != 401 {
			t.Errorf("with the cookies of a neighbour, one is %d %s", got.status, got.text)
		}
		ada.open(w.loginAt(w.bank, "/me"))
		me := ada.logIn(w.provider, "ada")
		if !strings.Contains(me.text, "Ada Lovelace") || ada.sessionCookie(w).Value == known.Value {
			t.Errorf("with the cookies of a neighbour, the login ends with %d %s", me.status, me.text)
		}
		if got := mallory.open(w.origin + "/me"); strings.Contains(got.text, "Lovelace") {
			t.Errorf("who has planted a session is %s", got.text)
		}
	})
}

// sessionCookie is the cookie of the session that the server takes from this browser.
func (b *browser) sessionCookie(w *world) *network.Cookie {
	b.t.Helper()
	at, err := url.Parse(w.origin)
	if err != nil {
		b.t.Fatal(err)
	}
	name := "escrowgrid"
	if w.isSecure {
		name = "__Host-escrowgrid"
	}
	cookie := b.cookies()[at.Hostname()+" "+name]
	if cookie == nil {
		b.t.Fatalf("there is no cookie %s", name)
	}
	return cookie
}
