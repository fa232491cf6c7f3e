package httpapi_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

// A page of others sends a browser to a login in their own institution, where their provider asks
// nothing, so that a person would go on in it.
func TestALinkOfOthersEndsNoSession(t *testing.T) {
	provider := identitytest.Start(t)
	origin := strings.TrimSuffix(identitytest.RedirectURI, "/auth/callback")
	s := serve(t, onSQLite(t), func(c *settings) {
		c.PublicURL = origin
		c.Identity = identity.New(identity.Config{
			Client: provider.HTTP(), Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		t.Cleanup(c.Identity.Close)
	})
	mine, theirs, browser := s.bank(t), s.bank(t), s.As("")
	for _, b := range []bank{mine, theirs} {
		b.Admin.Put(t, "/institutions/"+b.ID+"/identity-provider", providerOf(provider.Issuer, fields{}).String()).Want(t, 200)
	}
	session := s.cookie(t, mine.Admin.Post(t, "/sessions", "").Want(t, 201))
	mineAt, theirsAt := "/auth/login?institutionId="+mine.ID, "/auth/login?institutionId="+theirs.ID

	for _, site := range []string{"cross-site", "same-site"} {
		from := "Sec-Fetch-Site: " + site
		browser.Get(t, theirsAt, session, from).Refused(t, 403, "origin_not_allowed")
		browser.Get(t, mineAt, session, from).Want(t, 302)
		browser.Get(t, theirsAt, from).Want(t, 302)
	}
	for _, site := range []string{"none", "same-origin"} {
		browser.Get(t, theirsAt, session, "Sec-Fetch-Site: "+site).Want(t, 302)
	}
	browser.Post(t, "/auth/logout", "", session, "Origin: "+origin, "X-EscrowGrid-Console: 1").Want(t, 204)
	browser.Get(t, theirsAt, session, "Sec-Fetch-Site: cross-site").Want(t, 302)
}
