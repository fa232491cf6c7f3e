package loadtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"       // to change a database without the server
	_ "github.com/ncruces/go-sqlite3/driver" // the same
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// bank is a server with one institution, and the operations that its clients logged.
type bank struct {
	*testbed.Server
	testbed.Tenant
	t          *testing.T
	operations *operations
	raw        *sql.DB
	sent       int
}

// eachStore runs a test on both stores.
func eachStore(t *testing.T, test func(*bank)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "escrowgrid.db")
		test(openBank(t, "sqlite:"+path, "sqlite3", "file:"+path, 0))
	})
	t.Run("postgres", func(t *testing.T) {
		databaseURL := pgtest.Shared(t).NewDatabase(t)
		test(openBank(t, databaseURL, "pgx", databaseURL, 0))
	})
}

// openBank opens a bank on a database. The retention is its RETENTION_PERIOD.
func openBank(t *testing.T, databaseURL, driver, dsn string, retention time.Duration) *bank {
	t.Helper()
	database, err := store.Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	running, err := engine.New(engine.Config{
		Store:          database,
		Logger:         slog.New(slog.DiscardHandler),
		Now:            time.Now,
		Random:         rand.Reader,
		Metrics:        registry,
		QueueSize:      16384,
		GroupSize:      512,
		ExpiryInterval: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	const rootKey = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"
	handler, err := httpapi.New(httpapi.Config{
		Engine:          running,
		Logger:          slog.New(slog.DiscardHandler),
		Version:         "1.2.3",
		Metrics:         registry,
		Gatherer:        registry,
		RootKey:         rootKey,
		RequestTimeout:  time.Minute,
		RetentionPeriod: retention,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(handler)
	raw, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
		_ = raw.Close()
		if err := running.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})

	server, err := testbed.Attach(t.Context(), apiclient.New(listener.URL), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	tenants, err := server.MakeTenants(t.Context(), "test", 1)
	if err != nil {
		t.Fatal(err)
	}
	return &bank{
		Server:     server,
		Tenant:     tenants[0],
		t:          t,
		operations: newOperations(t.Output()),
		raw:        raw,
	}
}

// send sends a request as an operation and returns the id of the resource in the answer.
func (b *bank) send(operation, path string, body map[string]any) string {
	b.t.Helper()
	return b.sendAs(b.APIKey, operation, path, body)
}

func (b *bank) sendAs(key, operation, path string, body map[string]any) string {
	b.t.Helper()
	b.sent++
	content, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.URL+path, strings.NewReader(string(content)))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("X-API-KEY", key)
	request.Header.Set("X-Request-Id", operation)
	request.Header.Set("Content-Type", "application/json")

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode >= http.StatusBadRequest {
		b.t.Fatalf("POST %s: %s, %v", path, response.Status, err)
	}
	return answer.ID
}

func (b *bank) create(operation string) string {
	b.t.Helper()
	return b.send(operation, "/positions", map[string]any{
		"assetId":         b.AssetID,
		"holderReference": "LOAD_TEST",
		"currency":        "USD",
		"amount":          1000,
	})
}

// transition returns the id of the position, or of the approval that it waits for.
func (b *bank) transition(operation, position, state string) string {
	b.t.Helper()
	return b.send(operation, "/positions/"+position+"/transition", map[string]any{"toState": state})
}

// askCheckers has releases wait for a checker.
func (b *bank) askCheckers() {
	b.t.Helper()
	if err := b.Tenant.AskChecker(b.t.Context(), b.Server, []string{"positions.release"}, nil); err != nil {
		b.t.Fatal(err)
	}
}

// approve approves as the checker.
func (b *bank) approve(operation, approval string) {
	b.t.Helper()
	var asked struct{ Digest string }
	if err := b.GetOnce(b.t.Context(), b.CheckerKey, "/approvals/"+approval, &asked); err != nil {
		b.t.Fatal(err)
	}
	b.sendAs(b.CheckerKey, operation, "/approvals/"+approval+"/approve", map[string]any{"digest": asked.Digest})
}

// tell logs an operation as a client's script does.
func (b *bank) tell(operation, kind, before, outcome, after string) {
	b.t.Helper()
	for _, line := range []string{
		fmt.Sprintf("EG begin %s %s %s", operation, kind, before),
		fmt.Sprintf("EG end %s %s 200 - 1.5 %s 7", operation, outcome, after),
	} {
		if !b.operations.addLine(line) {
			b.t.Fatalf("%q is no line of the log", line)
		}
	}
}

// funded creates and funds a position, and logs both operations.
func (b *bank) funded(operation string) (position string) {
	b.t.Helper()
	position = b.create(operation + "-1")
	b.tell(operation+"-1", "create", "-", outcomeOK, position)
	b.transition(operation+"-2", position, "FUNDED")
	b.tell(operation+"-2", "FUNDED", position, outcomeOK, position)
	return position
}

func (b *bank) exec(statement string) {
	b.t.Helper()
	if _, err := b.raw.ExecContext(b.t.Context(), statement); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bank) verify() Correctness {
	b.t.Helper()
	found, err := verify(b.t.Context(), b.Server, []testbed.Tenant{b.Tenant}, b.operations)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}
