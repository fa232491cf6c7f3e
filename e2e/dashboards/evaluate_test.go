package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/loadtest/k6test"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// silent has the metrics that may be missing in the test.
var silent = []struct{ part, why string }{
	{"k6_operations_refused_total", "k6 sends a counter only from its first count on, and nothing is refused"},
	{"k6_operations_unknown_total", "the same: everything is answered"},
	{"k6_retries_throttled_total", "the same: nothing is retried"},
	{"k6_retries_connection_total", "the same"},
	{"k6_dropped_iterations_total", "the same: there are enough clients"},
}

func isSilent(expr string) bool {
	for _, s := range silent {
		if strings.Contains(expr, s.part) {
			return true
		}
	}
	return false
}

// asked is a query of a panel, with the legend of its series.
type asked struct {
	panel        shown
	expr, legend string
}

func (a asked) String() string { return fmt.Sprintf("%v: %s", a.panel, a.expr) }

// expressions returns the panels' queries of Prometheus.
func expressions(t *testing.T) (all []asked) {
	t.Helper()
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			if q, ok := target.(*prometheus.Dataquery); ok {
				all = append(all, asked{panel: p, expr: q.Expr, legend: *q.LegendFormat})
			}
		}
	}
	if len(all) < 50 {
		t.Fatalf("only %d expressions are found", len(all))
	}
	return all
}

// prometheusServer is the installed Prometheus. It reads the servers every second.
type prometheusServer struct{ url string }

func startPrometheus(t *testing.T, targets ...*testbed.Server) prometheusServer {
	t.Helper()
	directory := t.TempDir()
	addresses := make([]string, len(targets))
	for i, s := range targets {
		addresses[i] = `"` + strings.TrimPrefix(s.URL, "http://") + `"`
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: escrowgrid
    authorization: {credentials: %s}
    static_configs: [{targets: [%s]}]
`, programtest.MetricsKey, strings.Join(addresses, ", "))
	file := filepath.Join(directory, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	address := programtest.FreeAddress(t)
	programtest.Start(t, nil, "prometheus",
		"--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(directory, "data"),
		"--web.listen-address="+address,
		"--web.enable-remote-write-receiver")
	p := prometheusServer{url: "http://" + address}
	programtest.Answers(t, p.url+"/-/ready")

	// An event before the first reading would not be an increase.
	programtest.Eventually(t, "Prometheus has read each server", func() bool {
		return len(p.answers(t, "up == 1")) == len(targets)
	})
	return p
}

func get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: %s", response.Status, content))
	}
	return content, err
}

// series is a series of an answer, with its labels.
type series struct {
	Metric map[string]string
	Values [][2]any
}

// answers returns the series of an expression in the last five minutes, without those that
// are NaN all the time.
func (p prometheusServer) answers(t *testing.T, expr string) (found []series) {
	t.Helper()
	now := time.Now()
	query := url.Values{
		"query": {expr},
		"step":  {"1"},
		"start": {fmt.Sprint(now.Add(-5 * time.Minute).Unix())},
		"end":   {fmt.Sprint(now.Unix())},
	}
	content, err := get(t.Context(), p.url+"/api/v1/query_range?"+query.Encode())
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}

	var answer struct{ Data struct{ Result []series } }
	if err := json.Unmarshal(content, &answer); err != nil {
		t.Fatal(err)
	}
	for _, s := range answer.Data.Result {
		for _, value := range s.Values {
			if value[1] != "NaN" {
				found = append(found, s)
				break
			}
		}
	}
	return found
}

// selector finds the selectors of an expression.
var selector = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\{[^}]*\}`)

// label finds the labels in a legend.
var label = regexp.MustCompile(`\{\{(\w+)\}\}`)

// chosen replaces Grafana's variables by a range and by all values.
func chosen(expr string) string {
	return strings.NewReplacer(
		"$__rate_interval", "1m",
		"$job", ".*",
		"$instance", ".*",
		"$run", ".+",
	).Replace(expr)
}

// useTheAPI sends requests that the metrics of the servers count.
func useTheAPI(t *testing.T, s *testbed.Server) {
	t.Helper()
	b := newTenants(t, s, 1)[0]
	b.position(t, "FUNDED", "RELEASED")

	path := "/institutions/" + b.InstitutionID + "/api-keys"
	key := b.post(t, path, fields{"label": "another", "role": "read_only"})
	b.post(t, path+"/"+key+"/rotate", fields{})
	b.post(t, path+"/"+key+"/revoke", fields{})

	position := b.position(t)
	transition := "/positions/" + position + "/transition"
	err := s.Call(t.Context(), b.APIKey, http.MethodPost, transition, fields{"toState": "RELEASED"}, nil)
	if err == nil {
		t.Error("a position that was not funded is released")
	}

	refused := func(key string, status int) bool {
		var problem *apiclient.Error
		err := s.GetOnce(t.Context(), key, "/positions", nil)
		return errors.As(err, &problem) && problem.Status == status
	}
	if !refused("egk_wrong", http.StatusUnauthorized) {
		t.Error("a wrong key is not refused")
	}
	programtest.Eventually(t, "the key is limited", func() bool { return refused(b.APIKey, http.StatusTooManyRequests) })
}

// A real Prometheus has an answer to every query of every dashboard. It reads a server on
// SQLite under a load test, whose k6 writes to it, and a server on PostgreSQL.
func TestEveryPanelHasSomethingToShow(t *testing.T) {
	// Its collector is down, which has a metric, too.
	collector := programtest.FreeAddress(t)
	onSQLite := serve(t, "", "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+collector)
	onPostgres := serve(t, pgtest.Shared(t).NewDatabase(t), "RATE_LIMIT_RPS=1", "RATE_LIMIT_BURST=20")
	p := startPrometheus(t, onSQLite, onPostgres)
	useTheAPI(t, onPostgres)

	test := exec.CommandContext(t.Context(), programtest.Program(), "loadtest",
		"--profile", "mixed", "--rate", "50", "--duration", "12s", "--k6", k6test.Path(t),
		"--target", onSQLite.URL, "--report", t.TempDir(), "--prometheus-url", p.url+"/api/v1/write",
		// A slow machine meets these objectives.
		"--set", "MAX_AVG_MS=60000", "--set", "MAX_P95_MS=60000", "--set", "MAX_P99_MS=60000")
	test.Env = append(os.Environ(), "ROOT_API_KEY="+onSQLite.RootKey)
	if said, err := test.CombinedOutput(); err != nil {
		t.Fatalf("the load test: %v\n%s", err, said)
	}

	all := expressions(t)
	defer func() {
		for _, a := range all {
			t.Errorf("there is no answer with the labels of the legend: %v, %q", a, a.legend)
		}
	}()
	programtest.Eventually(t, "there is an answer to each query", func() bool {
		all = slices.DeleteFunc(all, func(a asked) bool {
			found := p.answers(t, chosen(a.expr))
			return isSilent(a.expr) || len(found) > 0 && hasLegend(found, a.legend)
		})
		return len(all) == 0
	})

	// "or vector(0)" must not hide a metric that does not exist.
	for _, a := range expressions(t) {
		for _, s := range selector.FindAllString(chosen(a.expr), -1) {
			if !isSilent(s) && len(p.answers(t, s)) == 0 {
				t.Errorf("%v: there is no %s", a, s)
			}
		}
	}

	checkIdle(t, p)
	checkVariables(t, p)
	checkNames(t, p)
}

// idleMax bounds the series of a query that stay at 0. The servers start the counters of
// all routes and errors at 0, and a legend of all of them hides those that grow.
const idleMax = 12

func checkIdle(t *testing.T, p prometheusServer) {
	t.Helper()
	for _, a := range expressions(t) {
		idle := 0
		for _, s := range p.answers(t, chosen(a.expr)) {
			if !slices.ContainsFunc(s.Values, func(v [2]any) bool { return v[1] != "0" }) {
				idle++
			}
		}
		if idle > idleMax {
			t.Errorf("%d series stay at 0: %v", idle, a)
		}
	}
}

// Without a server, a panel is empty instead of showing a 0, as an idle server does.
func TestWithoutServersPanelsAreEmpty(t *testing.T) {
	p := startPrometheus(t)
	for _, a := range expressions(t) {
		if !strings.Contains(a.expr, "k6_") && len(p.answers(t, chosen(a.expr))) > 0 {
			t.Errorf("there is an answer without a server: %v", a)
		}
	}
}

// hasLegend reports whether a series has every label of the legend.
func hasLegend(all []series, legend string) bool {
	for _, match := range label.FindAllStringSubmatch(legend, -1) {
		if !slices.ContainsFunc(all, func(s series) bool { return s.Metric[match[1]] != "" }) {
			return false
		}
	}
	return true
}

// checkVariables checks that there are values for each variable.
func checkVariables(t *testing.T, p prometheusServer) {
	t.Helper()
	labelValues := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for file, d := range readDashboards(t) {
		for _, v := range d.Templating.List {
			if v.Query == nil || v.Query.String == nil || v.Datasource == nil || *v.Datasource.Uid != "${metrics}" {
				continue
			}
			parts := labelValues.FindStringSubmatch(*v.Query.String)
			if parts == nil {
				t.Errorf("%s: the variable %s has the query %s", file, v.Name, *v.Query.String)
				continue
			}

			address := p.url + "/api/v1/label/" + parts[2] + "/values?match[]=" + url.QueryEscape(chosen(parts[1]))
			content, err := get(t.Context(), address)
			var answer struct{ Data []string }
			if err != nil || json.Unmarshal(content, &answer) != nil || len(answer.Data) == 0 {
				t.Errorf("%s: the variable %s has no values: %s, %v", file, v.Name, content, err)
			}
		}
	}
}

// checkNames checks that no label of k6 has a value for each position: a long run would
// fill Prometheus.
func checkNames(t *testing.T, p prometheusServer) {
	t.Helper()
	for _, s := range p.answers(t, `k6_http_reqs_total`) {
		for name, value := range s.Metric {
			if strings.Contains(value, "pos_") || strings.Contains(value, "ast_") {
				t.Errorf("k6 sends the label %s=%q", name, value)
			}
		}
	}
}
