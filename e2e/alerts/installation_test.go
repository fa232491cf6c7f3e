// Package alerts tests the monitoring files with the programs that read them: real
// servers, Prometheus and Alertmanager, and a receiver of what they send.
package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// files are what is tested.
const files = "../../deploy/monitoring/"

func TestMain(m *testing.M) {
	os.Exit(programtest.Run(m, []string{"-modfile=tools/monitoring/go.mod", "github.com/prometheus/alertmanager/cmd/alertmanager"}))
}

// quickness is how many times faster than in production time passes in the test. With 120 the
// windows of the rules are so short that a busy machine leaves them empty.
const quickness = 60

// interval is how often Prometheus reads a server and evaluates rules. A server that does not
// answer within it counts as down, and a busy machine takes its time: so this is hastened less
// than all else.
const interval = "500ms"

// absence is how long a server, or its database, is not there before that is told of. Hastened
// like all else it would be a second, in which a busy machine may not get round to them.
const absence = "10s"

// inSeconds is how a rule writes a duration as a number of seconds, and how it is to be written
// here.
func inSeconds(format string, seconds int) (production, here string) {
	return fmt.Sprintf(format, seconds), fmt.Sprintf(format, seconds/quickness)
}

// hastened makes a minute of a file's durations a second: nobody waits for hours.
func hastened(text string) string {
	return regexp.MustCompile(`\b(\d+)([smhd])\b`).ReplaceAllStringFunc(text, func(duration string) string {
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

// has tells whether of all these alerts, like "page EscrowGridAllDown", was told that they
// are firing, or resolved.
func (r *receiver) has(status string, alerts []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, alert := range alerts {
		severity, name, _ := strings.Cut(alert, " ")
		if !r.told[severity+" "+status+" "+name] {
			return false
		}
	}
	return true
}

// all is what was told since the last clear.
func (r *receiver) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.told))
}

func (r *receiver) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.told)
}

// installation is servers on one database, with their monitoring.
type installation struct {
	// t is the test to whose end the servers run.
	t           *testing.T
	databaseURL string
	// env are variables of each server.
	env       []string
	addresses []string
	servers   []*programtest.Server
	receiver  *receiver
	// prometheus and alertmanager are where they answer, directory is where their files are.
	prometheus, alertmanager, directory string
}

// newInstallation starts servers on a database, which must be listening, and monitors them.
func newInstallation(t *testing.T, databaseURL string, servers int, env ...string) *installation {
	t.Helper()
	i := &installation{
		t:           t,
		databaseURL: databaseURL,
		// Requests that wait for the database have as long as it takes until their lateness is told of.
		env: append([]string{
			"VERIFY_INTERVAL=1s", "CHECKPOINT_INTERVAL=1s", "REQUEST_TIMEOUT=10m",
			// The tests break databases with triggers of their own.
			"ALLOW_FOREIGN_SCHEMA=true",
		}, env...),
		addresses: make([]string, servers),
		servers:   make([]*programtest.Server, servers),
		receiver:  newReceiver(t),
		directory: t.TempDir(),
	}
	for number := range servers {
		i.addresses[number] = programtest.FreeAddress(t)
		i.serve(number)
	}
	for name, content := range map[string]string{"page": i.receiver.URL + "/page", "ticket": i.receiver.URL + "/ticket", "key": programtest.MetricsKey} {
		if err := os.WriteFile(i.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	i.alertmanager = programtest.FreeAddress(t)
	install(t, i.path("alertmanager.yml"), "alertmanager.yml", "/run/secrets/alert_page_url", i.path("page"), "/run/secrets/alert_ticket_url", i.path("ticket"))
	programtest.Start(t, nil, programtest.Path("alertmanager"), "--config.file="+i.path("alertmanager.yml"),
		"--storage.path="+i.path("alertmanager"), "--web.listen-address="+i.alertmanager, "--cluster.listen-address=")
	programtest.Answers(t, "http://"+i.alertmanager+"/-/ready")

	i.configure(t, "")
	i.installRules(t)
	prometheus := programtest.FreeAddress(t)
	i.prometheus = "http://" + prometheus
	programtest.Start(t, nil, "prometheus", "--config.file="+i.path("prometheus.yml"), "--storage.tsdb.path="+i.path("data"),
		"--web.listen-address="+prometheus, "--web.enable-lifecycle", "--rules.alert.resend-delay="+hastened("1m"))
	programtest.Answers(t, i.prometheus+"/-/ready")
	i.sendsAlerts(t)
	programtest.Eventually(t, "Prometheus has read all servers twice", func() bool {
		return i.value(t, fmt.Sprintf(`min(count_over_time(up{job="escrowgrid"}[1m])) > 1 and on () count(up{job="escrowgrid"} == 1) == %d`, servers)) != ""
	})
	return i
}

// installRules installs the rules. What they say in numbers is no duration, and is changed here.
func (i *installation) installRules(t *testing.T) {
	t.Helper()
	install(t, i.path("rules/alerts.yml"), "rules/alerts.yml",
		// Two days without a verification.
		"> 2 * 86400", "> 20",
		// A server that could take a whole processor gets a small part of it on a busy machine,
		// which is still several times what one takes that has nothing to do.
		"go_sched_gomaxprocs_threads > 0.9", "go_sched_gomaxprocs_threads > 0.05",
		"up{job=\"escrowgrid\"} == 0\n        for: "+hastened("2m"), "up{job=\"escrowgrid\"} == 0\n        for: "+absence,
		"absent(up{job=\"escrowgrid\"})\n        for: "+hastened("1m"), "absent(up{job=\"escrowgrid\"})\n        for: "+absence,
		"escrowgrid_store_ready == 0\n        for: "+hastened("1m"), "escrowgrid_store_ready == 0\n        for: "+absence)

	// How many requests a rate over a window makes.
	var windows []string
	for _, seconds := range []int{3600, 21600, 86400, 259200} {
		production, here := inSeconds("* %d >= 10", seconds)
		windows = append(windows, production, here)
	}
	install(t, i.path("rules/objectives.yml"), "rules/objectives.yml", windows...)
}

// path is that of one of the monitoring's files.
func (i *installation) path(name string) string { return filepath.Join(i.directory, name) }

// configure writes Prometheus' configuration, with more lines for its job if any are given,
// and has it read where Prometheus runs.
func (i *installation) configure(t *testing.T, job string) {
	t.Helper()
	install(t, i.path("prometheus.yml"), "prometheus.yml", "/run/secrets/metrics_api_key", i.path("key"), "alertmanager:9093", i.alertmanager,
		hastened(`    dns_sd_configs:
      - names: ["escrowgrid"]
        type: A
        port: 4000
        refresh_interval: 15s
`), fmt.Sprintf("    static_configs: [{targets: [%s]}]\n", strings.Join(i.addresses, ", "))+job,
		"_interval: "+hastened("15s"), "_interval: "+interval)
	if i.prometheus == "" {
		return
	}
	i.ask(t, http.MethodPost, "/-/reload", nil)
	i.sendsAlerts(t)
}

// sendsAlerts waits until Prometheus knows where Alertmanager is. For some seconds after it
// has read its configuration it does not, and what it would send is lost.
func (i *installation) sendsAlerts(t *testing.T) {
	t.Helper()
	programtest.Eventually(t, "Prometheus knows where to send alerts", func() bool {
		var answer struct {
			Data struct{ ActiveAlertmanagers []any }
		}
		i.ask(t, http.MethodGet, "/api/v1/alertmanagers", &answer)
		return len(answer.Data.ActiveAlertmanagers) == 1
	})
}

// serve starts a server, with more variables if any are given.
func (i *installation) serve(number int, env ...string) {
	i.t.Helper()
	_, port, err := net.SplitHostPort(i.addresses[number])
	if err != nil {
		i.t.Fatal(err)
	}
	i.servers[number] = programtest.Serve(i.t, i.databaseURL, slices.Concat(i.env, []string{"PORT=" + port}, env)...)
	programtest.Answers(i.t, i.servers[number].URL+"/ready")
}

// replace stops a server and starts it with other variables.
func (i *installation) replace(number int, env ...string) {
	i.t.Helper()
	i.servers[number].Stop()
	i.serve(number, env...)
}

// call is a request to a server; what is left out is a GET, by the operator, from here.
type call struct {
	server             int
	key, from          string
	method, path, body string
	idempotencyKey     string
}

// send returns the status and the answer's body, and 0 where there was no answer.
func (i *installation) send(t *testing.T, c call) (status int, answer map[string]any) {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(cmp.Or(c.from, "127.0.0.1"))}}).DialContext}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), cmp.Or(c.method, http.MethodGet), "http://"+i.addresses[c.server]+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	request.Header.Set("X-API-KEY", cmp.Or(c.key, programtest.RootKey))
	request.Header.Set("Content-Type", "application/json")
	if c.idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", c.idempotencyKey)
	}
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

// post makes something, and returns its fields.
func (i *installation) post(t *testing.T, key, path, body string) map[string]any {
	t.Helper()
	status, answer := i.send(t, call{key: key, method: http.MethodPost, path: path, body: body})
	if status >= http.StatusBadRequest || status == 0 {
		t.Fatalf("POST %s: %d %v", path, status, answer)
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

// lock keeps tables from the servers until it is released.
func (i *installation) lock(t *testing.T, tables string) (release func()) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), i.databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Exec(t.Context(), "BEGIN; LOCK TABLE "+tables); err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = connection.Close(context.Background()) }) // Which rolls back.
}

// value is the first that Prometheus answers to an expression; empty is none.
func (i *installation) value(t *testing.T, expression string) string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	i.ask(t, http.MethodGet, "/api/v1/query?query="+url.QueryEscape(expression), &answer)
	if len(answer.Data.Result) == 0 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

// ask asks Prometheus, and reads the answer where there is to be one.
func (i *installation) ask(t *testing.T, method, path string, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, i.prometheus+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("Prometheus answers %s %s with %s", method, path, response.Status)
	}
	if answer != nil {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			t.Fatal(err)
		}
	}
}

// alerts are the names of those that fire in Prometheus, or are about to.
func (i *installation) alerts(t *testing.T) (names []string) {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	i.ask(t, http.MethodGet, "/api/v1/alerts", &answer)
	for _, alert := range answer.Data.Alerts {
		names = append(names, alert.Labels["alertname"])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
