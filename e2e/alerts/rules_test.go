package alerts

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// comment is a line of YAML that says nothing to a program.
var comment = regexp.MustCompile(`(?m)^\s*#.*$`)

func rules(t *testing.T) string {
	t.Helper()
	return comment.ReplaceAllString(read(t, files+"rules/alerts.yml")+read(t, files+"rules/objectives.yml"), "")
}

func TestEveryAlertHasATestAndARunbook(t *testing.T) {
	runbooks := read(t, "../../docs/operations.md")
	names, err := filepath.Glob(files + "tests/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, name := range names {
		tests += read(t, name)
	}
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules(t), -1)
	if len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	for _, name := range alerts {
		if !strings.Contains(tests, "alertname: "+name[1]+"\n") {
			t.Errorf("%s has no test", name[1])
		}
		if !strings.Contains(runbooks, "\n### "+name[1]+"\n") {
			t.Errorf("docs/operations.md does not say what to do about %s", name[1])
		}
		if !strings.Contains(rules(t), "/docs/operations.md#"+strings.ToLower(name[1])+"\n") {
			t.Errorf("%s has no link to its runbook", name[1])
		}
	}
}

// metricNames are the metrics that rules name. A name with a colon is that of a recorded
// series.
func metricNames(text string) map[string]bool {
	names := make(map[string]bool)
	for _, name := range regexp.MustCompile(`(?m)(?:^|[^\w:"/])((?:escrowgrid|process|go)_[a-z_0-9]+)\b(?:[^\w:]|$)`).FindAllStringSubmatch(text, -1) {
		names[name[1]] = true
	}
	return names
}

// An alert on a metric that is missing never fires: EscrowGridMetricsMissing does, for each
// that every server has.
func TestMissingMetricsAreToldOf(t *testing.T) {
	const alert = "      - alert: "
	before, rest, found := strings.Cut(rules(t), alert+"EscrowGridMetricsMissing\n")
	if !found {
		t.Fatal("there is no EscrowGridMetricsMissing")
	}
	guard, after, _ := strings.Cut(rest, alert)
	asked := make(map[string]bool)
	for _, line := range regexp.MustCompile(`label_replace\(.* (\w+), "metric", "(\w+)", "", ""\)`).FindAllStringSubmatch(guard, -1) {
		if asked[line[1]] = true; line[1] != line[2] {
			t.Errorf("the label metric is %q where %s is missing", line[2], line[1])
		}
	}
	on := metricNames(before + after)
	onlyOfSome := regexp.MustCompile(`^escrowgrid_(verification|store_free)_|^process_start_time_seconds$|_bucket$`)
	for name := range on {
		if !asked[name] && !onlyOfSome.MatchString(name) {
			t.Errorf("nobody is told when %s is missing", name)
		}
	}
	for name := range asked {
		if !on[name] {
			t.Errorf("no rule needs %s", name)
		}
	}
}

// The objectives leave out the same routes wherever they count.
func TestObjectivesCountTheSameRequests(t *testing.T) {
	objectives := comment.ReplaceAllString(read(t, files+"rules/objectives.yml"), "")
	const selects = `escrowgrid_http_request\w+\{(route!~"[^"]*")?`
	left := make(map[string]bool)
	for _, found := range regexp.MustCompile(selects).FindAllStringSubmatch(objectives, -1) {
		left[found[1]] = true
	}
	if len(left) != 1 || left[""] {
		t.Errorf("requests are selected by %q", slices.Collect(maps.Keys(left)))
	}
}

// Every metric that the rules name is one of a server's.
func TestRulesNameMetricsThatAreThere(t *testing.T) {
	server := programtest.Serve(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"), "VERIFY_INTERVAL=100ms")
	programtest.Answers(t, server.URL+"/ready")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+programtest.MetricsKey)
	var shown string
	// The first answer counts no request: that for it comes after.
	for range 2 {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v: %s", response.StatusCode, err, content)
		}
		shown = "\n" + string(content)
	}
	names := metricNames(rules(t))
	if len(names) < 20 {
		t.Fatalf("only %d names are found", len(names))
	}
	for name := range names {
		if !strings.Contains(shown, "\n"+name+"{") && !strings.Contains(shown, "\n"+name+" ") {
			t.Errorf("no server has %s", name)
		}
	}
	checkLabels(t, shown)
}

// checkLabels checks that the labels by which rules select are those of a server's metrics, and that
// they have the values. A rule that selects what is not there never fires.
func checkLabels(t *testing.T, shown string) {
	t.Helper()
	selectors := regexp.MustCompile(`\b((?:escrowgrid|process|go)_\w+)\{([^}]*)\}`).FindAllStringSubmatch(rules(t), -1)
	checked := 0
	for _, selector := range selectors {
		for _, label := range regexp.MustCompile(`(\w+)(=~?|!~)"([^"]*)"`).FindAllStringSubmatch(selector[2], -1) {
			metric, name, operator := selector[1], label[1], label[2]
			if name == "job" || name == "instance" {
				continue // Prometheus adds them.
			}
			var values []string
			series := regexp.MustCompile(`\n` + metric + `\{(?:[^}]*,)?` + name + `="([^"]*)"`)
			for _, value := range series.FindAllStringSubmatch(shown, -1) {
				values = append(values, value[1])
			}
			if len(values) == 0 {
				t.Errorf("no server's %s has the label %s", metric, name)
			}
			checked++
			if operator == "!~" {
				continue
			}
			wanted := strings.Split(label[3], "|")
			if name == "le" {
				wanted = wanted[:1] // The others are how other versions of Prometheus write it.
			}
			for _, value := range wanted {
				if !slices.ContainsFunc(values, regexp.MustCompile("^("+value+")$").MatchString) {
					slices.Sort(values)
					t.Errorf("no server's %s has the %s %s, but %q", metric, name, value, slices.Compact(values))
				}
			}
		}
	}
	if checked < 10 {
		t.Fatalf("only %d labels are found", checked)
	}
}
