package load_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/loadtest/k6test"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

const rootKey = "root-key-0123456789abcdefghijklmnopqrstuvwxyz"

// service is a server on a real socket and a real store, with an institution, its keys,
// and an asset in dollars.
type service struct {
	url             string
	institution     string
	root            apitest.Client
	admin, readOnly apitest.Client
	asset           string
	// fault, unless it is nil, answers some requests of the scripts.
	fault atomic.Pointer[fault]
	// requests counts the requests of the scripts.
	requests atomic.Int64
}

// fault answers every nth POST request about positions instead of the server. It begins
// with the first one, so that it hits even a run in which a slow machine sends few.
type fault struct {
	// every is the n.
	every int64
	// creations restricts the fault to requests that create a position.
	creations bool
	count     atomic.Int64
	// answer answers a request. Its handler is the server's own.
	answer func(http.ResponseWriter, *http.Request, http.Handler)
}

func (f *fault) hits(r *http.Request) bool {
	if f == nil || r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/positions") {
		return false
	}
	return (!f.creations || r.URL.Path == "/positions") && (f.count.Add(1)-1)%f.every == 0
}

// serve runs a server until the test ends.
func serve(t *testing.T) *service {
	t.Helper()
	database, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := database.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}

	registry := prometheus.NewRegistry()
	logger := slog.New(slog.DiscardHandler)
	running, err := engine.New(engine.Config{
		Store:          database,
		Logger:         logger,
		Now:            time.Now,
		Random:         rand.Reader,
		Metrics:        registry,
		QueueSize:      16384,
		GroupSize:      512,
		ExpiryInterval: 100 * time.Millisecond,
		AttemptTimeout: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := httpapi.New(httpapi.Config{
		Engine:         running,
		Logger:         logger,
		Version:        "1.2.3",
		Metrics:        registry,
		Gatherer:       registry,
		RootKey:        rootKey,
		RequestTimeout: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}

	s := &service{}
	direct := httptest.NewServer(handler)
	toScripts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if fault := s.fault.Load(); fault.hits(r) {
			fault.answer(w, r, handler)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		toScripts.Close()
		direct.Close()
		// The test's own context has ended.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if err := running.Close(ctx); err != nil {
			t.Errorf("close the engine: %v", err)
		}
		if err := database.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})

	s.url = toScripts.URL
	s.root = apitest.Client{URL: direct.URL, Key: rootKey, HTTP: direct.Client()}
	s.institution = s.root.Post(t, "/institutions", `{"name": "Meridian Bank", "regions": ["US"]}`).Want(t, 201).Text("id")
	s.admin, s.readOnly = s.root.As(s.key(t, "admin")), s.root.As(s.key(t, "read_only"))
	s.asset = s.newAsset(t, "USD")
	return s
}

// newAsset creates an asset in a currency.
func (s *service) newAsset(t *testing.T, currency string) string {
	t.Helper()
	template := s.admin.Post(t, "/asset-templates", fmt.Sprintf(`{
		"code": "CONSTR_ESCROW", "name": "Escrow", "vertical": "CONSTRUCTION",
		"region": "US", "config": {"currency": %q}
	}`, currency)).Want(t, 201).Text("id")
	asset := fmt.Sprintf(`{"templateId": %q, "label": "Harbour Tower"}`, template)
	return s.admin.Post(t, "/assets", asset).Want(t, 201).Text("id")
}

func (s *service) key(t *testing.T, role string) string {
	t.Helper()
	key := fmt.Sprintf(`{"label": %[1]q, "role": %[1]q, "owner": %[1]q}`, role)
	return s.root.Post(t, "/institutions/"+s.institution+"/api-keys", key).Want(t, 201).Text("apiKey")
}

// refuseAll sets a policy that refuses the scripts' positions.
func (s *service) refuseAll(t *testing.T) {
	t.Helper()
	s.admin.Put(t, "/institutions/"+s.institution+"/policies/US", `{"position": {"minAmount": "5000"}}`).Want(t, 200)
}

// askApprover sets the approval rule that commands of a permission wait for an approver, and returns the key of one.
func (s *service) askApprover(t *testing.T, permission string) string {
	t.Helper()
	key := s.key(t, "approver")
	rules := fmt.Sprintf(`{"rules": [{"id": "two-of-us", "on": [%q], "require": [{"role": "approver", "count": 1}]}]}`, permission)
	s.root.Put(t, "/institutions/"+s.institution+"/approval-rules", rules).Want(t, 200)
	return key
}

// outcome is the outcome of a script's run.
type outcome struct {
	exit int
	// said is standard output and standard error, with k6's own log.
	said    string
	summary summary
	// log has the lines of the operations log.
	log []string
	// directory has the files that the script wrote.
	directory string
}

// The exit codes of k6.
const (
	passed          = 0
	objectiveMissed = 99
	scriptException = 107
	scriptAborted   = 108
)

// summary is the part of summary.json that is ours.
type summary struct {
	Run, Profile, StartedAt string
	DurationSeconds         float64
	Passed                  bool
	Objectives              []struct {
		Name, Metric, Threshold string
		OK                      bool
		Value                   *float64
	}
	Throughput map[string]float64
	Latency    map[string]float64
	Counts     map[string]int
	Breakpoint *struct {
		Knee  int
		Steps []struct {
			Rate        int
			OK, Reached bool
		}
	}
}

// missed returns the metrics of the objectives that were missed.
func (s summary) missed() map[string]bool {
	metrics := make(map[string]bool)
	for _, objective := range s.Objectives {
		if !objective.OK {
			metrics[objective.Metric] = true
		}
	}
	return metrics
}

// patient has settings with objectives that a slow machine meets.
var patient = []string{"MAX_AVG_MS=60000", "MAX_P95_MS=60000", "MAX_P99_MS=60000", "VUS=20", "THINK_TIME=0", "MIN_RPS=0"}

// run runs a script, by default with the admin's key and on the asset. Settings are
// written as "NAME=value"; the last one of a name wins.
func (s *service) run(t *testing.T, script string, settings ...string) outcome {
	t.Helper()
	return s.runWith(t, nil, script, settings...)
}

// runWith is run with flags of k6.
func (s *service) runWith(t *testing.T, flags []string, script string, settings ...string) outcome {
	t.Helper()
	directory := t.TempDir()
	log := filepath.Join(directory, "log")
	arguments := []string{
		"run", "--quiet", "--no-usage-report", "--address=", "--log-output=file=" + log, "--log-format=raw",
		// On a reused connection, k6's transport would itself retry a request that failed.
		"--no-connection-reuse",
	}
	settings = append([]string{
		"API_URL=" + s.url,
		"API_KEY=" + s.admin.Key,
		"ASSET_ID=" + s.asset,
		"OPERATIONS_LOG=true",
		"OUT_DIR=" + directory,
	}, settings...)
	for _, setting := range settings {
		arguments = append(arguments, "-e", setting)
	}
	arguments = append(arguments, flags...)

	k6 := exec.CommandContext(t.Context(), k6test.Path(t), append(arguments, script+".js")...)
	// The script must not depend on the variables of the test's environment.
	k6.Env = []string{"PATH=" + os.Getenv("PATH"), "K6_AUTO_EXTENSION_RESOLUTION=false"}
	said, err := k6.CombinedOutput()
	if k6.ProcessState == nil {
		t.Fatal(err)
	}

	o := outcome{exit: k6.ProcessState.ExitCode(), said: string(said), directory: directory}
	logged, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(logged), "\n") {
		if strings.HasPrefix(line, "EG ") {
			o.log = append(o.log, line)
		} else {
			o.said += line + "\n"
		}
	}
	if written, err := os.ReadFile(filepath.Join(directory, "summary.json")); err == nil {
		if err := json.NewDecoder(bytes.NewReader(written)).Decode(&o.summary); err != nil {
			t.Fatalf("summary.json: %v\n%s", err, written)
		}
	}
	return o
}

// want checks the exit code of a run and returns its outcome.
func (o outcome) want(t *testing.T, exit int) outcome {
	t.Helper()
	if o.exit != exit {
		t.Fatalf("k6 ended with %d, want %d:\n%s", o.exit, exit, o.said)
	}
	return o
}
