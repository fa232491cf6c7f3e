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

// serve starts a server that does often what others do now and then.
func serve(t *testing.T, database string, environment ...string) *testbed.Server {
	t.Helper()
	s, err := testbed.Start(t.Context(), testbed.Options{
		Executable: programtest.Program(), Database: database, Log: filepath.Join(t.TempDir(), "server.log"), Progress: t.Output(),
		Environment: append([]string{"METRICS_API_KEY=" + programtest.MetricsKey, "CHECKPOINT_INTERVAL=1s", "VERIFY_INTERVAL=2s"}, environment...),
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

// tenant is an institution with a way to use it.
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
		tenants = append(tenants, tenant{m, s})
	}
	return tenants
}

// post sends a request as the institution, and returns the id of what was made.
func (b tenant) post(t *testing.T, path string, body fields) string {
	t.Helper()
	var made struct{ ID string }
	if err := b.server.Call(t.Context(), b.APIKey, http.MethodPost, path, body, &made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// position makes one of 1000 USD, and leads it to states.
func (b tenant) position(t *testing.T, states ...string) {
	t.Helper()
	id := b.post(t, "/positions", fields{"assetId": b.AssetID, "holderReference": "holder", "currency": "USD", "amount": "1000"})
	for _, state := range states {
		b.post(t, "/positions/"+id+"/transition", fields{"toState": state})
	}
}
