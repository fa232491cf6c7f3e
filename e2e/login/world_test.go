package login

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// world is a server, a provider of people, and a bank that has its people from there.
type world struct {
	t *testing.T
	place
	databaseURL string
	server      *programtest.Server
	provider    *provider
	// root acts for the operator, admin for the bank, and nobody sends no key.
	root, admin, nobody apitest.Client
	bank                testbed.Tenant
}

// eachPlace runs a test on each store, and where browsers come by https and where they do not.
func eachPlace(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("by https, on PostgreSQL", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, behindProxy(t), pgtest.Shared(t).NewDatabase(t)))
	})
	t.Run("on the same machine, on SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, onThisMachine(t), "sqlite:"+t.TempDir()+"/escrowgrid.db"))
	})
}

// newSecureWorld is a world for a test that needs no other.
func newSecureWorld(t *testing.T) *world {
	t.Helper()
	return newWorld(t, behindProxy(t), pgtest.Shared(t).NewDatabase(t))
}

func newWorld(t *testing.T, at place, databaseURL string) *world {
	t.Helper()
	w := &world{t: t, place: at, databaseURL: databaseURL}
	w.provider = startProvider(t, at.origin+"/auth/callback")
	w.serve()
	w.root = apitest.Client{URL: w.server.URL, Key: programtest.RootKey, HTTP: &http.Client{
		Timeout:       10 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	w.nobody = w.root.As("")
	w.bank = w.newBank("The bank")
	w.admin = w.root.As(w.bank.APIKey)
	w.setProvider(w.bank, fields{"clientId": webClient, "clientSecret": webSecret, "audience": audience})
	return w
}

// serve starts the server.
func (w *world) serve() {
	w.t.Helper()
	w.server = programtest.Serve(w.t, w.databaseURL, "PORT="+port(w.address), "PUBLIC_URL="+w.origin,
		"TRUSTED_PROXIES=127.0.0.1/32", "EGRESS_ALLOWED_NETWORKS=127.0.0.0/8", "ENCRYPTION_KEY="+strings.Repeat("1a", 32))
}

// restart replaces the server by one that remembers nothing but what is in the database.
func (w *world) restart() {
	w.t.Helper()
	if code := w.server.Stop(); code != 0 {
		w.t.Fatalf("the server ends with %d", code)
	}
	w.serve()
}

// newBank makes an institution with an asset and an admin's key.
func (w *world) newBank(name string) testbed.Tenant {
	w.t.Helper()
	server := &testbed.Server{Client: apiclient.New(w.server.URL), RootKey: programtest.RootKey}
	made, err := server.MakeTenants(w.t.Context(), name, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	return made[0]
}

// setProvider has the people of a bank come from the provider: operators may create and move
// positions, and auditors read everything.
func (w *world) setProvider(bank testbed.Tenant, settings fields) {
	w.t.Helper()
	w.setProviderAt(w.provider, bank, settings)
}

func (w *world) setProviderAt(p *provider, bank testbed.Tenant, settings fields) {
	w.t.Helper()
	settings["issuer"] = p.issuer
	settings["roleByGroup"] = fields{"operators": "operator", "auditors": "auditor"}
	w.root.As(bank.APIKey).Put(w.t, "/institutions/"+bank.InstitutionID+"/identity-provider", text(settings)).Want(w.t, 200)
}

// text is the JSON of an object.
func text(object fields) string {
	content, err := json.Marshal(object)
	if err != nil {
		panic(err) // Tests make no others.
	}
	return string(content)
}

// claim is the body of a request for a position.
func (w *world) claim() string {
	return text(fields{"assetId": w.bank.AssetID, "holderReference": "holder", "currency": "USD", "amount": "10"})
}

// loginAt is where a login of a bank's people begins, and then comes back to a path.
func (w *world) loginAt(bank testbed.Tenant, returnTo string) string {
	return w.origin + "/auth/login?institutionId=" + bank.InstitutionID + "&returnTo=" + returnTo
}
