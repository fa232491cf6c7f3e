package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"github.com/escrowgrid/escrowgrid/internal/loadtest/k6test"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// loadTest starts a short load test, whose objectives a slow machine does not miss. Its
// report is in report, its temporary files in a directory of its own.
func loadTest(t *testing.T, args ...string) (p *process, report, temporary string) {
	t.Helper()
	report, temporary = t.TempDir(), t.TempDir()
	p = launch(t, []string{"TMPDIR=" + temporary, "ROOT_API_KEY=" + testRootKey},
		append([]string{
			"loadtest", "--k6", k6test.Path(t), "--report", report, "--duration", "2s",
			"--set", "MAX_AVG_MS=60000", "--set", "MAX_P95_MS=60000", "--set", "MAX_P99_MS=60000",
		}, args...)...)
	return p, report, temporary
}

// checkEmpty tells what is left in a directory.
func checkEmpty(t *testing.T, directory string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(directory, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("these are left behind: %q, %v", left, err)
	}
}

func TestAHealthyServerPassesTheLoadTest(t *testing.T) {
	for store, args := range map[string][]string{
		"sqlite":   nil,
		"postgres": {"--database", pgtest.Shared(t).NewDatabase(t)},
	} {
		t.Run(store, func(t *testing.T) {
			p, report, temporary := loadTest(t, args...)
			if code := p.wait(t); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if said := p.stdout.String(); !strings.Contains(said, "smoke passed") || !strings.Contains(said, " 0 differences") {
				t.Errorf("it says\n%s", said)
			}
			for _, name := range []string{"report.html", "summary.json", "junit.xml"} {
				if _, err := os.Stat(filepath.Join(report, name)); err != nil {
					t.Error(err)
				}
			}
			checkEmpty(t, temporary)
		})
	}
}

// faulty is a proxy in front of a server. Before a request is passed on, fault may
// answer it itself, and then returns true.
func faulty(t *testing.T, s *process, fault func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn), // The server may have ended.
	}
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		listener.Close()
		transport.CloseIdleConnections()
	})
	return listener.URL
}

// isLoad tells the load's requests from those of the test's own.
func isLoad(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/positions")
}

func TestALoadTestFails(t *testing.T) {
	for name, test := range map[string]struct {
		fault func(t *testing.T, s *process, database string) func(http.ResponseWriter, *http.Request) bool
		args  []string
		code  int
		says  string
	}{
		"where the server answers 500 to one request in fifty": {
			func(*testing.T, *process, string) func(http.ResponseWriter, *http.Request) bool {
				var requests atomic.Int64
				return func(w http.ResponseWriter, r *http.Request) bool {
					if !isLoad(r) || requests.Add(1)%50 != 1 {
						return false
					}
					w.WriteHeader(http.StatusInternalServerError)
					return true
				}
			}, []string{"--rate", "100"}, 99, "MISSED  failed",
		},
		"where answers take longer than the objective": {
			func(*testing.T, *process, string) func(http.ResponseWriter, *http.Request) bool {
				return func(_ http.ResponseWriter, r *http.Request) bool {
					if isLoad(r) {
						wait(r.Context(), 350*time.Millisecond)
					}
					return false
				}
			}, []string{"--set", "MAX_P95_MS=300"}, 99, "MISSED  p95 of",
		},
		"where a policy refuses every position": {
			func(t *testing.T, s *process, _ string) func(http.ResponseWriter, *http.Request) bool {
				var once sync.Once
				return func(_ http.ResponseWriter, r *http.Request) bool {
					if isLoad(r) {
						once.Do(func() {
							institution := s.Get(t, "/institutions").Want(t, 200).Text("data.0.id")
							s.Put(t, "/institutions/"+institution+"/policies/US", `{"position": {"minAmount": "5000"}}`).Want(t, 200)
						})
					}
					return false
				}
			}, nil, 99, "MISSED  positions funded",
		},
		"where the server ends midway": {
			func(t *testing.T, s *process, _ string) func(http.ResponseWriter, *http.Request) bool {
				var requests atomic.Int64
				return func(_ http.ResponseWriter, r *http.Request) bool {
					if isLoad(r) && requests.Add(1) == 2 {
						s.end(t, syscall.SIGKILL)
					}
					return false
				}
			}, []string{"--set", "MAX_RETRIES=0"}, exitFailure, "could not be read back",
		},
		"where an acknowledged position is gone": {
			func(t *testing.T, _ *process, database string) func(http.ResponseWriter, *http.Request) bool {
				var once sync.Once
				return func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path == "/audit-events" {
						once.Do(func() { removeAPosition(t, database) })
					}
					return false
				}
			}, nil, 98, "is in the journal, but not among the positions",
		},
	} {
		t.Run(name, func(t *testing.T) {
			database := pgtest.Shared(t).NewDatabase(t)
			s := serve(t, []string{"DATABASE_URL=" + database}, "--migrate")
			p, report, temporary := loadTest(t, append([]string{"--target", faulty(t, s, test.fault(t, s, database))}, test.args...)...)
			code := p.wait(t)
			if said := p.stdout.String() + p.stderr.String(); code != test.code || !strings.Contains(said, test.says) {
				t.Errorf("exit code %d, want %d with %q; it says\n%s", code, test.code, test.says, said)
			}
			if _, err := os.Stat(filepath.Join(report, "report.html")); (err == nil) != (code > exitUsage) {
				t.Errorf("with the exit code %d the report is there: %v", code, err)
			}
			checkEmpty(t, temporary)
		})
	}
}

func wait(ctx context.Context, duration time.Duration) {
	select {
	case <-time.After(duration):
	case <-ctx.Done():
	}
}

func removeAPosition(t *testing.T, database string) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Error(err)
		return
	}
	defer connection.Close(t.Context())
	if _, err := connection.Exec(t.Context(), "DELETE FROM positions WHERE id = (SELECT id FROM positions ORDER BY id LIMIT 1)"); err != nil {
		t.Error(err)
	}
}

// Through a network that delays everything and cuts a connection after every few
// requests, nothing is lost and nothing done twice.
func TestALoadTestThroughABadNetwork(t *testing.T) {
	s := serve(t, []string{"DATABASE_URL=" + pgtest.Shared(t).NewDatabase(t)}, "--migrate")
	network := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "bad", "127.0.0.1:0",
		strings.TrimPrefix(s.URL, "http://"))
	if err := network.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Stop)
	for _, toxic := range []string{
		`{"type": "latency", "stream": "downstream", "attributes": {"latency": 10, "jitter": 10}}`,
		`{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 4000}}`,
	} {
		if _, err := network.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			t.Fatal(err)
		}
	}
	// However slow the machine is, so many times is something acknowledged.
	for acknowledged := 0; acknowledged < 50; {
		p, report, _ := loadTest(t, "--target", "http://"+network.Listen, "--rate", "50")
		if code := p.wait(t); code != exitOK && code != 99 {
			t.Fatalf("exit code %d", code)
		}
		acknowledged += acknowledgedOnce(t, report)
	}
}

// acknowledgedOnce reads from a report how much was acknowledged, all of which must be there.
func acknowledgedOnce(t *testing.T, report string) int {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(report, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Runs []struct {
			Correctness struct {
				Passed                bool
				Acknowledged, Entries int
			}
		}
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		t.Fatal(err)
	}
	found := summary.Runs[0].Correctness
	if !found.Passed || found.Entries < found.Acknowledged {
		t.Fatalf("found %+v", found)
	}
	return found.Acknowledged
}

// The figures of a run are the next one's baseline. It passes against one that is far slower,
// and fails against one that is far faster, whatever else the machine does meanwhile.
func TestALoadTestIsComparedWithABaseline(t *testing.T) {
	baseline := filepath.Join(t.TempDir(), "baseline.json")
	p, _, _ := loadTest(t, "--save-baseline", baseline)
	if code := p.wait(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	const far = 1000
	scaleThroughput(t, baseline, 1.0/far)
	p, _, _ = loadTest(t, "--baseline", baseline, "--latency-tolerance", "1000000")
	if code := p.wait(t); code != exitOK {
		t.Errorf("against one that is slower: exit code %d", code)
	}
	scaleThroughput(t, baseline, far*far)
	p, _, _ = loadTest(t, "--baseline", baseline, "--latency-tolerance", "1000000")
	if code := p.wait(t); code != 97 || !strings.Contains(p.stdout.String(), "MISSED  answers per second") {
		t.Errorf("against one that is faster: exit code %d", code)
	}
}

// scaleThroughput multiplies the answers a second of a baseline.
func scaleThroughput(t *testing.T, baseline string, by float64) {
	t.Helper()
	content, err := os.ReadFile(baseline)
	if err != nil {
		t.Fatal(err)
	}
	var summary map[string]any
	if err := json.Unmarshal(content, &summary); err != nil {
		t.Fatal(err)
	}
	figures := summary["figures"].(map[string]any)
	figures["throughput"] = by * figures["throughput"].(float64)
	if content, err = json.Marshal(summary); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(baseline, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A test that is broken off leaves no valid key, no process and no file.
func TestABrokenOffLoadTestCleansUp(t *testing.T) {
	s := serve(t, []string{"DATABASE_URL=sqlite::memory:"})
	var started atomic.Bool
	target := faulty(t, s, func(_ http.ResponseWriter, r *http.Request) bool {
		started.Store(started.Load() || isLoad(r))
		return false
	})
	p, _, temporary := loadTest(t, "--target", target, "--duration", "10m")
	p.eventually(t, "the load begins", started.Load)
	if code := p.end(t, os.Interrupt); code != exitFailure || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("exit code %d", code)
	}
	institution := s.Get(t, "/institutions").Want(t, 200).Text("data.0.id")
	if left := s.Get(t, "/institutions/"+institution+"/api-keys").Want(t, 200).Text("data"); left != "[]" {
		t.Errorf("valid keys: %s", left)
	}
	checkEmpty(t, temporary)
}

func TestWrongUsageOfTheLoadTest(t *testing.T) {
	for says, args := range map[string][]string{
		"--profile=x is not one of smoke":                 {"--profile", "x"},
		"--set=VUS must be NAME=VALUE":                    {"--set", "VUS"},
		"--repeat=0 must be from 1 to 100":                {"--repeat", "0"},
		"--database must be a postgres:// URL":            {"--database", "sqlite:x.db"},
		"--target=ftp://x must be an http or https URL":   {"--target", "ftp://x"},
		"--target=https://example.com is not on this":     {"--target", "https://example.com"},
		"--target takes the target's root key":            {"--target", "http://localhost:1", "--root-api-key="},
		"--target and --database exclude each other":      {"--target", "http://localhost:1", "--database", "postgres://x"},
		"--prometheus-url=localhost:9090 must be an http": {"--prometheus-url", "localhost:9090"},
		"tolerances are percentages":                      {"--throughput-tolerance", "101"},
	} {
		if code, _, stderr := call(t, nil, append([]string{"loadtest"}, args...)...); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%q: exit code %d, %q, want %q", args, code, stderr, says)
		}
	}
}
