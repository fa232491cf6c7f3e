package login

import (
	"net/http"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// A provider that is down stops nobody who is known. A new login says so, and works again without
// anybody's doing once the provider is back.
func TestTheProviderIsDown(t *testing.T) {
	t.Parallel()
	eachPlace(t, func(t *testing.T, w *world) {
		token := w.provider.tokens("ada").access
		w.nobody.Get(t, "/me", header(token)).Want(t, 200)
		inside, outside := w.browser(t), w.browser(t)
		inside.open(w.loginAt(w.bank, "/me"))
		inside.logIn(w.provider, "ada")

		// It goes down between the form and the code's exchange for tokens.
		outside.open(w.loginAt(w.bank, "/me"))
		sent := outside.meets("*/auth/callback*", func(string) bool { w.provider.stop(); return true })
		checkUnavailable(t, outside.logIn(w.provider, "mallory"))
		<-sent
		w.nobody.Get(t, "/me", header(token)).Want(t, 200)
		if me := inside.open(w.origin + "/me"); me.status != 200 || !strings.Contains(me.text, "Ada Lovelace") {
			t.Errorf("without the provider, a session shows %d %s", me.status, me.text)
		}

		// A server that has never seen the provider's keys.
		w.restart()
		checkUnavailable(t, outside.open(w.loginAt(w.bank, "/me")))
		w.nobody.Send(t, apitest.Request{
			Method: http.MethodGet, Path: "/me", Headers: []string{header(token)}, Unreliable: true,
		}).Refused(t, 503, "identity_provider_unavailable")
		if me := inside.open(w.origin + "/me"); me.status != 200 {
			t.Errorf("without the provider, a session of before the restart shows %d %s", me.status, me.text)
		}

		w.provider.start()
		programtest.Eventually(t, "the login begins again", func() bool {
			return strings.HasPrefix(outside.open(w.loginAt(w.bank, "/me")).url, w.provider.issuer+"/")
		})
		if me := outside.logIn(w.provider, "mallory"); me.status != 200 || !strings.Contains(me.text, "Mallory") {
			t.Errorf("once the provider is back, the login ends with %d %s", me.status, me.text)
		}
		w.nobody.Get(t, "/me", header(token)).Want(t, 200)
	})
}

func checkUnavailable(t *testing.T, p page) {
	t.Helper()
	if p.status != 503 || !strings.Contains(p.text, "identity_provider_unavailable") ||
		!strings.Contains(p.text, "The identity provider cannot be asked now") || p.header["Retry-After"] == nil {
		t.Errorf("without the provider, %s is answered with %d %s", p.url, p.status, p.text)
	}
}
