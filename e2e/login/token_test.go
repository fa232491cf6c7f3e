package login

import (
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// An access token of RFC 9068 acts at the bank that is its audience; an ID token, at one whose client
// it was issued to.
func TestTokensOfBothKindsAct(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		w.setProvider(w.bank, fields{"clientId": webClient, "clientSecret": webSecret, "audience": audience})
		other := w.newBank("Another bank")
		w.setProvider(other, fields{"clientId": nativeClient})
		got := w.provider.tokens("ada")
		if h := joseHeader(t, got.access); !strings.Contains(h, `"typ":"at+jwt"`) {
			t.Errorf("the access token is not of RFC 9068: %s", h)
		}

		for name, test := range map[string]struct{ token, institution string }{
			"access token": {got.access, w.bank.InstitutionID},
			"ID token":     {got.id, other.InstitutionID},
		} {
			me := w.nobody.Get(t, "/me", header(test.token)).Want(t, 200)
			if me.Text("via") != "token" || me.Text("institutionId") != test.institution ||
				me.Text("user.name") != "Ada Lovelace" || me.Text("user.email") != "ada@bank.test" {
				t.Errorf("with an %s, one is %s", name, me)
			}
		}
		w.nobody.Post(t, "/positions", w.claim(), header(got.access)).Want(t, 201)
	})
}

// A permission is gone with the next token, and a person who is suspended at once.
func TestAPersonLosesWhatTheirGroupGave(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		before := w.provider.tokens("ada")
		w.nobody.Post(t, "/positions", w.claim(), header(before.access)).Want(t, 201)
		w.provider.setGroups("ada", "auditors")
		after := w.provider.tokens("ada")
		w.nobody.Post(t, "/positions", w.claim(), header(after.access)).Refused(t, 403, "permission_missing")
		w.nobody.Get(t, "/positions", header(after.access)).Want(t, 200)

		b := w.browser(t)
		b.open(w.loginAt(w.bank, "/me"))
		me := b.logIn(w.provider, "ada")
		user := w.nobody.Get(t, "/me", header(after.access)).Want(t, 200).Text("actor")
		if !strings.Contains(me.text, user) || strings.Contains(me.text, "positions.create") {
			t.Errorf("%s in a browser is %s", user, me.text)
		}

		w.admin.Post(t, "/institutions/"+w.bank.InstitutionID+"/users/"+user+"/suspend", "").Want(t, 200)
		for _, token := range []string{before.access, after.access, w.provider.tokens("ada").access} {
			w.nobody.Get(t, "/me", header(token)).Refused(t, 401, "invalid_token")
		}
		if out := b.open(w.origin + "/me"); out.status != 401 {
			t.Errorf("a person who is suspended is shown %d %s", out.status, out.text)
		}
		again := b.open(w.loginAt(w.bank, "/me"))
		if again.status != 401 || strings.Contains(again.text, "Lovelace") {
			t.Errorf("a login of a person who is suspended ends with %d %s", again.status, again.text)
		}
	})
}

// The provider signs with a new key and still shows the old one, and then shows it no more.
func TestTheProviderChangesItsKeys(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		old := w.provider.tokens("ada").access
		w.nobody.Get(t, "/me", header(old)).Want(t, 200)

		w.provider.rotate()
		renewed := w.provider.tokens("ada").access
		if joseHeader(t, old) == joseHeader(t, renewed) {
			t.Fatal("the key is the same")
		}
		// The server has asked for the keys a moment ago, and does so again a moment later.
		programtest.Eventually(t, "a token with the new key acts", func() bool {
			return w.nobody.Get(t, "/me", header(renewed)).Status == 200
		})
		w.nobody.Get(t, "/me", header(old)).Want(t, 200)
		b := w.browser(t)
		b.open(w.loginAt(w.bank, "/me"))
		if me := b.logIn(w.provider, "ada"); me.status != 200 || me.url != w.origin+"/me" {
			t.Errorf("with the new key, a login ends at %s: %d %s", me.url, me.status, me.text)
		}

		w.provider.forget()
		w.restart()
		w.nobody.Get(t, "/me", header(renewed)).Want(t, 200)
		w.nobody.Get(t, "/me", header(old)).Refused(t, 401, "invalid_token")
	})
}
