package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// program is the server's, built for the tests.
var program string

func TestMain(m *testing.M) { os.Exit(testWithProgram(m)) }

func testWithProgram(m *testing.M) int {
	built, err := os.MkdirTemp("", "escrowgrid-dashboards")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(built)
	program = filepath.Join(built, "escrowgrid")
	build := exec.Command("go", "build", "-o", program, "./cmd/escrowgrid")
	build.Dir = "../.."
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, output)
		return 1
	}
	return pgtest.Run(m)
}

// metricsKey reads the metrics of the servers.
const metricsKey = "metrics-key-0123456789abcdefghijklmnopqrstuvwxyz"

// serve starts a server that does often what others do now and then.
func serve(t *testing.T, database string, environment ...string) *testbed.Server {
	t.Helper()
	s, err := testbed.Start(t.Context(), testbed.Options{
		Executable: program, Database: database, Log: filepath.Join(t.TempDir(), "server.log"), Progress: t.Output(),
		Environment: append([]string{"METRICS_API_KEY=" + metricsKey, "CHECKPOINT_INTERVAL=1s", "VERIFY_INTERVAL=2s"}, environment...),
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

// patience bounds what is waited for; the test fails when it does not come about.
const patience = 90 * time.Second

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
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
