package login

import (
	"net/url"
	"strings"
	"testing"
)

// Wherever a login is asked to return to, the browser comes to this server, and to no other.
func TestALoginReturnsToThisServer(t *testing.T) {
	t.Parallel()
	w := newSecureWorld(t)
	b := w.browser(t)
	b.open(w.loginAt(w.bank, "/me"))
	b.logIn(w.provider, "ada") // The provider knows her from now on, and shows no form.

	for _, test := range []struct{ returnTo, want string }{
		{"/me?a=b%26c#d", "/me?a=b%26c#d"},
		{"/health/../me", "/me"},
		{"/%2f%2fevil.test", "/%2f%2fevil.test"},
		{"/%5cevil.test", "/%5cevil.test"},
		{"/%09/evil.test", "/%09/evil.test"},
		{"/.//evil.test", "//evil.test"},
		{"/..//evil.test", "//evil.test"},
		{"/;@evil.test", "/;@evil.test"},
		{"/@evil.test", "/@evil.test"},
		{"/:443@evil.test", "/:443@evil.test"},
		{"//evil.test", ""},
		{"///evil.test", ""},
		{"//evil.test/%2f..", ""},
		{"//escrow.bank.test@evil.test", ""},
		{`/\evil.test`, ""},
		{`\\evil.test`, ""},
		{`\/evil.test`, ""},
		{"/\t/evil.test", ""},
		{"/\n/evil.test", ""},
		{" //evil.test", ""},
		{"/ /evil.test", ""},
		{"https:evil.test", ""},
		{"https:/evil.test", ""},
		{"https://evil.test", ""},
		{"HTTPS://EVIL.TEST", ""},
		{"%2f%2fevil.test", ""},
		{"evil.test", ""},
		{"@evil.test", ""},
		{".evil.test", ""},
		{"javascript:alert(1)", ""},
		{"data:text/html,evil", ""},
		{"/\u2215evil.test", ""},
	} {
		t.Run(test.returnTo, func(t *testing.T) {
			asked := w.origin + "/auth/login?institutionId=" + w.bank.InstitutionID + "&returnTo=" + url.QueryEscape(test.returnTo)
			at := (&browser{t, b.ctx}).open(asked)
			switch {
			case test.want == "" && (at.url != asked || at.status != 422 || !strings.Contains(at.text, "returnTo")):
				t.Errorf("it is not refused: the browser comes to %s: %d %s", at.url, at.status, at.text)
			case test.want != "" && at.url != w.origin+test.want:
				t.Errorf("the browser comes to %s: %d %s", at.url, at.status, at.text)
			}
		})
	}
}
