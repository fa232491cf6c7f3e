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
	"slices"
	"strconv"
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
	return loadTestIn(t, nil, args...)
}

// loadTestIn is loadTest with more variables.
func loadTestIn(t *testing.T, env []string, args ...string) (p *process, report, temporary string) {
	t.Helper()
	report, temporary = t.TempDir(), t.TempDir()
	all := []string{"loadtest", "--k6", k6test.Path(t), "--report", report, "--duration", "2s"}
	if !slices.Contains(args, "--rate") {
		all = append(all, "--rate", "20")
	}
	for _, variable := range patient {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.Contains(strings.Join(args, " "), name+"=") {
			all = append(all, "--set", variable)
		}
	}
	p = launch(t, append([]string{"TMPDIR=" + temporary, "ROOT_API_KEY=" + testRootKey}, env...), append(all, args...)...)
	return p, report, temporary
}

// patient are objectives that a slow or busy machine meets, too.
var patient = []string{
	"MAX_AVG_MS=60000", "MAX_P95_MS=60000", "MAX_P99_MS=60000", "MIN_RPS=0",
	"MAX_CPU_SHARE=1", "MAX_MEMORY_SHARE=1",
}

// withoutPassword returns a database's URL without its password, which no flag takes, and the
// password.
func withoutPassword(t *testing.T, databaseURL string) (stripped, password string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ = u.User.Password()
	u.User = url.User(u.User.Username())
	return u.String(), password
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
	databaseURL, password := withoutPassword(t, pgtest.Shared(t).NewDatabase(t))
	for store, args := range map[string][]string{
		"sqlite":   nil,
		"postgres": {"--database", databaseURL},
	} {
		t.Run(store, func(t *testing.T) {
			// What the shell has for k6 or its scripts changes nothing.
			env := []string{"PGPASSWORD=" + password, "K6_ITERATIONS=1", "K6_VUS=1", "MAX_RETRIES=x", "OUT_DIR=/nowhere"}
			p, report, temporary := loadTestIn(t, env, args...)
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
			if files, err := filepath.Glob(filepath.Join(report, "k6", "*")); err != nil || len(files) != 2 {
				t.Errorf("k6 leaves %q, %v, besides which there is only one report.html", files, err)
			}
			// One iteration would be two.
			if n := acknowledgedOnce(t, report); n <= 2 || !strings.Contains(p.stderr.String(), "k6 does not get K6_ITERATIONS") {
				t.Errorf("%d operations were acknowledged", n)
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
			}, nil, 96, "FAILED: nothing was acknowledged",
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
			}, []string{"--set", "MAX_RETRIES=0"}, 96, "NOT ESTABLISHED  the results could not be read back",
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
	found := readCorrectness(t, report)
	if !found.Passed || found.Entries < found.Acknowledged {
		t.Fatalf("found %+v", found)
	}
	return found.Acknowledged
}

// correctness is what a report says about the writes.
type correctness struct {
	Passed                bool
	Acknowledged, Entries int
}

func readCorrectness(t *testing.T, report string) correctness {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(report, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	var summary struct {
		Runs []struct{ Correctness correctness }
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		t.Fatal(err)
	}
	return summary.Runs[0].Correctness
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
	if code := p.end(t, os.Interrupt); code != exitFailure || !strings.Contains(p.stdout.String(), "smoke FAILED: the test was interrupted") {
		t.Errorf("exit code %d", code)
	}
	institution := s.Get(t, "/institutions").Want(t, 200).Text("data.0.id")
	if left := s.Get(t, "/institutions/"+institution+"/api-keys").Want(t, 200).Text("data"); left != "[]" {
		t.Errorf("valid keys: %s", left)
	}
	checkEmpty(t, temporary)
}

// What a test makes on a target is ended and erased with it, unless it is to be kept.
func TestALoadTestCleansUpItsTarget(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		database string
		args     []string
		kept     bool
	}{
		"sqlite":   {database: "sqlite::memory:"},
		"postgres": {database: pgtest.Shared(t).NewDatabase(t)},
		"kept":     {database: "sqlite::memory:", args: []string{"--keep"}, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, []string{"DATABASE_URL=" + test.database}, "--migrate")
			p, report, _ := loadTest(t, append([]string{"--target", s.URL}, test.args...)...)
			if code := p.wait(t); code != exitOK {
				t.Fatalf("exit code %d; it says\n%s%s", code, p.stdout.String(), p.stderr.String())
			}

			institution := s.Get(t, "/institutions").Want(t, 200)
			id := institution.Text("data.0.id")
			named := "?limit=1000&institutionId=" + id
			positions := len(s.Get(t, "/positions"+named).Want(t, 200).Texts(t, "id"))
			erased := strings.Count(string(s.Get(t, "/positions"+named).Body), `"erased":true`)
			escrow := s.Get(t, "/institutions/"+id+"/balances").Want(t, 200).Text("balances.0.escrow")
			keys := s.Get(t, "/institutions/"+id+"/api-keys").Want(t, 200).Text("data")
			closed := institution.Text("data.0.closedAt") != ""
			if positions == 0 || closed == test.kept || (escrow == "0.00") == test.kept || (erased == positions) == test.kept || (keys == "[]") == test.kept {
				t.Errorf("of %d positions %d are erased, %s is held, it is closed: %v, its keys are %s", positions, erased, escrow, closed, keys)
			}

			page, err := os.ReadFile(filepath.Join(report, "report.html"))
			says := "the data of " + strconv.Itoa(positions) + " erased, 1 institution closed, 1 key revoked"
			for _, told := range []string{p.stdout.String(), string(page)} {
				if err != nil || strings.Contains(told, says) == test.kept {
					t.Errorf("%q is to be in, %v: %v, %s", says, !test.kept, err, told)
				}
			}
		})
	}
}

func TestWrongUsageOfTheLoadTest(t *testing.T) {
	for says, args := range map[string][]string{
		"--profile=x is not one of smoke":                 {"--profile", "x"},
		"--set=VUS must be NAME=VALUE":                    {"--set", "VUS"},
		"--set=MAX_P95_MS= is set, but empty":             {"--set", "MAX_P95_MS="},
		"--set=MIN_RPS=  is set, but empty":               {"--set", "MIN_RPS= "},
		"OPERATIONS_LOG is set by the load test itself":   {"--set", "OPERATIONS_LOG=false"},
		"API_URL is set by the load test itself":          {"--set", "API_URL=http://localhost:1"},
		"\"K6_ITERATIONS=1\" is not the NAME=VALUE of a":  {"--set", "K6_ITERATIONS=1"},
		"RATE is set twice":                               {"--rate", "5", "--set", "RATE=1"},
		"there is no folder for /nowhere/at/all":          {"--save-baseline", "/nowhere/at/all"},
		"the baseline: open /nowhere":                     {"--baseline", "/nowhere"},
		"/bin/true is no k6":                              {"--k6", "/bin/true"},
		"--repeat=0 must be from 1 to 100":                {"--repeat", "0"},
		"--database must be a postgres:// URL":            {"--database", "sqlite:x.db"},
		"--target=ftp://x must be an http or https URL":   {"--target", "ftp://x"},
		"--target=https://example.com is not on this":     {"--target", "https://example.com"},
		"--target takes the target's root key":            {"--target", "http://localhost:1"},
		"--target and --database exclude each other":      {"--target", "http://localhost:1", "--database", "postgres://x"},
		"--prometheus-url=localhost:9090 must be an http": {"--prometheus-url", "localhost:9090"},
		"tolerances are percentages":                      {"--throughput-tolerance", "101"},
	} {
		if code, _, stderr := call(t, nil, append([]string{"loadtest"}, args...)...); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%q: exit code %d, %q, want %q", args, code, stderr, says)
		}
	}
}

// What only the scripts can tell to be wrong is told before anything is made: the target, which
// does not exist, is not asked.
func TestWrongVariablesOfTheLoadTest(t *testing.T) {
	for says, args := range map[string][]string{
		"MAX_P95 is not a variable of smoke":                    {"--set", "MAX_P95=3"},
		"THINK_TIME is not a variable of mixed":                 {"--profile", "mixed", "--think-time", "1s"},
		`VUS: "many" is not a whole number of 1 or more`:        {"--vus", "many"},
		`MAX_MEMORY_SHARE: "80" is not a number from 0 to 1`:    {"--set", "MAX_MEMORY_SHARE=80"},
		"STAGES cannot be combined with DURATION":               {"--stages", "1s:1", "--duration", "1s"},
		"profile institutions sends its load with the root key": {"--profile", "institutions"},
	} {
		report := t.TempDir()
		earlier := filepath.Join(report, "report.html")
		if err := os.WriteFile(earlier, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := call(t, []string{"ROOT_API_KEY=" + testRootKey},
			append([]string{"loadtest", "--k6", k6test.Path(t), "--report", report, "--target", "http://localhost:1"}, args...)...)
		if code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%q: exit code %d, %q, want %q", args, code, stderr, says)
		}
		// The report of an earlier test is of use until there is load.
		if _, err := os.Stat(earlier); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}
