package main

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Run(m)) }

// serve runs a server with short intervals, until the test ends.
func serve(t *testing.T, database string, environment ...string) *testbed.Server {
	t.Helper()
	s, err := testbed.Start(t.Context(), testbed.Options{
		Executable: programtest.Program(),
		Database:   database,
		Environment: append([]string{
			"METRICS_API_KEY=" + programtest.MetricsKey,
			"CHECKPOINT_INTERVAL=1s",
			"VERIFY_INTERVAL=2s",
		}, environment...),
		Log:      filepath.Join(t.TempDir(), "server.log"),
		Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tenant is an institution with its server.
type tenant struct {
	testbed.Tenant
	server *testbed.Server
}

type fields = map[string]any

func newTenants(t *testing.T, s *testbed.Server, count int) (tenants []tenant) {
	t.Helper()
	made, err := s.MakeTenants(t.Context(), t.Name(), count)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range made {
		tenants = append(tenants, tenant{Tenant: m, server: s})
	}
	return tenants
}

// post sends a request with the institution's key and returns the id of the resource in
// the answer.
func (b tenant) post(t *testing.T, path string, body fields) string {
	t.Helper()
	var made struct{ ID string }
	if err := b.server.Call(t.Context(), b.APIKey, http.MethodPost, path, body, &made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// position creates a position of 1000 USD, moves it through states, and returns its id.
func (b tenant) position(t *testing.T, states ...string) (id string) {
	t.Helper()
	id = b.post(t, "/positions", fields{
		"assetId":         b.AssetID,
		"holderReference": "holder",
		"currency":        "USD",
		"amount":          "1000",
	})
	for _, state := range states {
		b.post(t, "/positions/"+id+"/transition", fields{"toState": state})
	}
	return id
}
