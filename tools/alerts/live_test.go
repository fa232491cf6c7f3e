// Package alerts tests the monitoring files with the programs that read them: real
// servers, Prometheus and Alertmanager, and a receiver of what they send.
package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/programtest"
)

// files are what is tested.
const files = "../../deploy/monitoring/"

func TestMain(m *testing.M) {
	os.Exit(programtest.Run(m, []string{"-modfile=tools/monitoring/go.mod", "github.com/prometheus/alertmanager/cmd/alertmanager"}))
}

// quickness is how many times faster than in production time passes in the test.
const quickness = 120

// hastened makes two minutes of a file's durations a second: nobody waits for hours.
func hastened(text string) string {
	return regexp.MustCompile(`\b(\d+)(s|m|h|d)\b`).ReplaceAllStringFunc(text, func(duration string) string {
		number, err := strconv.Atoi(duration[:len(duration)-1])
		if err != nil {
			return duration
		}
		seconds := map[byte]int{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[duration[len(duration)-1]]
		return fmt.Sprintf("%dms", number*seconds*1000/quickness)
	})
}

// install puts a copy of a file somewhere, with its durations hastened and then changed, and
// fails where a change does not apply.
func install(t *testing.T, path, file string, changes ...string) {
	t.Helper()
	text := hastened(read(t, files+file))
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%s has no %q", file, changes[i])
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// receiver is who is told of alerts: of those that page, and of those that are tickets.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	told map[string]bool // like "page firing EscrowGridAllDown"
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{told: make(map[string]bool)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		var message struct {
			Alerts []struct {
				Status              string
				Labels, Annotations map[string]string
			}
		}
		if err := json.NewDecoder(request.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, alert := range message.Alerts {
			if !strings.Contains(alert.Annotations["runbook_url"], "operations.md#") || alert.Annotations["description"] == "" {
				t.Errorf("%s does not say what to do: %v", alert.Labels["alertname"], alert.Annotations)
			}
			r.told[strings.TrimPrefix(request.URL.Path, "/")+" "+alert.Status+" "+alert.Labels["alertname"]] = true
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) has(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told[what]
}

// clear forgets what was told, and returns the names of the alerts.
func (r *receiver) clear() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for what := range r.told {
		if name := strings.Fields(what)[2]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	clear(r.told)
	return names
}

// installation is two servers on PostgreSQL with their monitoring.
type installation struct {
	database    *pgtest.Server
	databaseURL string
	addresses   [2]string
	servers     [2]*programtest.Server
	receiver    *receiver
	// prometheus is where it answers.
	prometheus string
}

func (i *installation) serve(t *testing.T, number int) {
	t.Helper()
	_, port, err := net.SplitHostPort(i.addresses[number])
	if err != nil {
		t.Fatal(err)
	}
	i.servers[number] = programtest.Serve(t, i.databaseURL, "PORT="+port, "VERIFY_INTERVAL=200ms", "CHECKPOINT_INTERVAL=200ms")
	programtest.Answers(t, i.servers[number].URL+"/ready")
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{
		database: pgtest.Start(t), receiver: newReceiver(t), addresses: [2]string{programtest.FreeAddress(t), programtest.FreeAddress(t)},
	}
	i.databaseURL = i.database.NewDatabase(t)
	i.serve(t, 0)
	i.serve(t, 1)

	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	for name, content := range map[string]string{"page": i.receiver.URL + "/page", "ticket": i.receiver.URL + "/ticket", "key": programtest.MetricsKey} {
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alertmanager, prometheus := programtest.FreeAddress(t), programtest.FreeAddress(t)
	install(t, path("alertmanager.yml"), "alertmanager.yml", "/run/secrets/alert_page_url", path("page"), "/run/secrets/alert_ticket_url", path("ticket"))
	programtest.Start(t, nil, programtest.Path("alertmanager"), "--config.file="+path("alertmanager.yml"),
		"--storage.path="+path("alertmanager"), "--web.listen-address="+alertmanager, "--cluster.listen-address=")
	programtest.Answers(t, "http://"+alertmanager+"/-/ready")
	install(t, path("prometheus.yml"), "prometheus.yml", "/run/secrets/metrics_api_key", path("key"), "alertmanager:9093", alertmanager,
		hastened(`    dns_sd_configs:
      - names: ["escrowgrid"]
        type: A
        port: 4000
        refresh_interval: 15s
`), fmt.Sprintf("    static_configs: [{targets: [%q, %q]}]\n", i.addresses[0], i.addresses[1]))
	install(t, path("rules/alerts.yml"), "rules/alerts.yml")
	install(t, path("rules/objectives.yml"), "rules/objectives.yml")
	i.prometheus = "http://" + prometheus
	programtest.Start(t, nil, "prometheus", "--config.file="+path("prometheus.yml"), "--storage.tsdb.path="+path("data"),
		"--web.listen-address="+prometheus)
	programtest.Answers(t, i.prometheus+"/-/ready")
	return i
}

// call sends a request to a server from an address of this machine.
func (i *installation) call(t *testing.T, from string, number int, key, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+i.addresses[number]+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-KEY", key)
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, nil
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	_ = json.Unmarshal(content, &answer) // It may be none.
	return response.StatusCode, answer
}

func (i *installation) root(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	status, answer := i.call(t, "127.0.0.1", 0, programtest.RootKey, method, path, body)
	if status >= http.StatusBadRequest || status == 0 {
		t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	return answer
}

// sql runs a statement past the servers.
func (i *installation) sql(t *testing.T, statement string) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), i.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(context.Background())
	if _, err := connection.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// Each way in which an installation breaks is told to whom it concerns, and that it ended.
func TestAlertsArrive(t *testing.T) {
	i := newInstallation(t)
	programtest.Eventually(t, "Prometheus has read both servers twice", func() bool {
		return i.value(t, `min(count_over_time(up{job="escrowgrid"}[1m])) > 1 and on () count(up{job="escrowgrid"} == 1) == 2`) != ""
	})
	// The root key comes from here for the first time: that is told.
	institution := i.root(t, http.MethodPost, "/institutions", `{"name": "Meridian Bank", "regions": ["US"]}`)["id"].(string)
	i.expect(t, "ticket", "EscrowGridRootKeyNewAddress", nil)

	for _, c := range []struct {
		severity, alert string
		// with are alerts that the same cause may raise.
		with []string
		// breaks is called again and again until the alert has arrived, mends once then.
		breaks, mends func()
	}{
		{
			severity: "ticket", alert: "EscrowGridRootKeyNewAddress",
			breaks: func() { i.call(t, "127.0.0.2", 1, programtest.RootKey, http.MethodGet, "/institutions", "") },
		},
		{
			severity: "ticket", alert: "EscrowGridRefusalsSurging",
			breaks: func() { i.call(t, "127.0.0.1", 1, "egk_wrong", http.MethodGet, "/institutions", "") },
		},
		{
			severity: "page", alert: "EscrowGridKeyRevocationsSurging",
			breaks: func() {
				keys := "/institutions/" + institution + "/api-keys"
				key := i.root(t, http.MethodPost, keys, `{"label": "to be revoked", "role": "read_only"}`)["id"].(string)
				i.root(t, http.MethodPost, keys+"/"+key+"/revoke", "")
			},
		},
		{
			severity: "page", alert: "EscrowGridVerificationDifferent", with: []string{"EscrowGridVerificationStale"},
			breaks: sync.OnceFunc(func() {
				i.sql(t, "ALTER TABLE institutions DISABLE TRIGGER ALL; UPDATE institutions SET name = 'Tampered Bank'")
			}),
			mends: func() {
				i.sql(t, "UPDATE institutions SET name = 'Meridian Bank'; ALTER TABLE institutions ENABLE TRIGGER ALL")
			},
		},
		{
			severity: "ticket", alert: "EscrowGridInstanceDown",
			breaks: sync.OnceFunc(func() { i.servers[1].Stop() }),
			mends:  func() { i.serve(t, 1) },
		},
		{
			severity: "page", alert: "EscrowGridStoreUnreachable",
			with: []string{
				"EscrowGridErrorBudgetBurnsFast", "EscrowGridErrorBudgetBurnsSlowly", "EscrowGridCheckpointsFailing", "EscrowGridCheckpointsLagging", "EscrowGridDutyFailing", "EscrowGridVerificationFailing", "EscrowGridVerificationStale", "EscrowGridRefusalsUnlogged",
			},
			breaks: sync.OnceFunc(func() { i.database.Stop(t) }),
			mends:  func() { i.database.Restart(t) },
		},
		{
			severity: "page", alert: "EscrowGridAllDown", with: []string{"EscrowGridInstanceDown"},
			breaks: sync.OnceFunc(func() { i.servers[0].Stop(); i.servers[1].Stop() }),
			mends:  func() { i.serve(t, 0); i.serve(t, 1) },
		},
	} {
		t.Run(c.alert, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("firing is %s", i.firing(t))
				}
			}()
			i.receiver.clear()
			programtest.Eventually(t, c.alert+" is told", func() bool {
				c.breaks()
				return i.receiver.has(c.severity + " firing " + c.alert)
			})
			if c.mends != nil {
				c.mends()
			}
			i.expect(t, c.severity, c.alert, c.with)
		})
	}
}

// expect waits until an alert's end was told and nothing is firing, and checks that of
// nothing else was told.
func (i *installation) expect(t *testing.T, severity, alert string, with []string) {
	t.Helper()
	programtest.Eventually(t, "the end of "+alert+" is told", func() bool { return i.receiver.has(severity + " resolved " + alert) })
	programtest.Eventually(t, "nothing is firing any more", func() bool { return i.firing(t) == "" })
	for _, name := range i.receiver.clear() {
		if name != alert && !slices.Contains(with, name) {
			t.Errorf("%s was told of as well", name)
		}
	}
}

// value is the first that Prometheus answers to an expression; empty is none.
func (i *installation) value(t *testing.T, expression string) string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	i.ask(t, "/api/v1/query?query="+url.QueryEscape(expression), &answer)
	if len(answer.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

func (i *installation) ask(t *testing.T, path string, answer any) {
	t.Helper()
	response, err := http.Get(i.prometheus + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}
}

// firing is what fires in Prometheus, or is about to.
func (i *installation) firing(t *testing.T) string {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	i.ask(t, "/api/v1/alerts", &answer)
	var names []string
	for _, alert := range answer.Data.Alerts {
		names = append(names, alert.Labels["alertname"]+" ("+alert.State+")")
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
