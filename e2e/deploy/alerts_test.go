package deploy

import (
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// installation is a server as one of the shipped files runs it. A limit that it does not have is
// without end.
type installation struct {
	name         string
	memory, cpus float64
	variables    map[string]string
}

func installations(t *testing.T) (all []installation) {
	t.Helper()
	for _, file := range []string{"compose.yaml", "deploy/compose/compose.yaml"} {
		server := composeProject(t, file).Services["escrowgrid"]
		i := installation{file, math.Inf(1), math.Inf(1), server.Environment.ToMapping()}
		if server.Deploy != nil && server.Deploy.Resources.Limits != nil {
			limits := server.Deploy.Resources.Limits
			i.memory = orInfinite(float64(limits.MemoryBytes))
			i.cpus = orInfinite(float64(limits.NanoCPUs))
		}
		all = append(all, i)
	}

	for _, folder := range []string{"base", "example"} {
		path := "deploy/kubernetes/" + folder
		resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).
			Run(filesys.MakeFsOnDisk(), "../../"+path)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range resources.Resources() {
			if resource.GetKind() != "Deployment" {
				continue
			}
			var deployment appsv1.Deployment
			if err := yaml.Unmarshal([]byte(resource.MustYaml()), &deployment); err != nil {
				t.Fatal(err)
			}
			container := containersOf(&deployment)[0]
			variables := make(map[string]string)
			for _, variable := range container.Env {
				variables[variable.Name] = variable.Value
			}
			all = append(all, installation{
				name:      path,
				memory:    orInfinite(container.Resources.Limits.Memory().AsApproximateFloat64()),
				cpus:      orInfinite(container.Resources.Limits.Cpu().AsApproximateFloat64()),
				variables: variables,
			})
		}
	}
	return all
}

func orInfinite(limit float64) float64 {
	if limit == 0 {
		return math.Inf(1)
	}
	return limit
}

// processors is how much of its GOMAXPROCS a server can use at most: Go rounds a limit up, and to 2
// at least.
func (i installation) processors() float64 {
	if math.IsInf(i.cpus, 1) {
		return 1
	}
	return i.cpus / max(2, math.Ceil(i.cpus))
}

// goLimit is the memory limit of the Go runtime: what the variable says, or a share of the
// container's.
func (i installation) goLimit(t *testing.T) float64 {
	t.Helper()
	text, given := i.variables["GOMEMLIMIT"]
	switch {
	case !given:
		return number(t, found(t, "../../cmd/escrowgrid/memory.go", `memoryRatio += ([0-9.]+)`)) * i.memory
	case text == "off":
		return math.Inf(1)
	}
	parts := regexp.MustCompile(`^(\d+)(B|KiB|MiB|GiB)$`).FindStringSubmatch(text)
	if parts == nil {
		t.Fatalf("%s: GOMEMLIMIT is %q", i.name, text)
	}
	return number(t, parts[1]) * math.Pow(1024, float64(slices.Index([]string{"B", "KiB", "MiB", "GiB"}, parts[2])))
}

// attempts is how often a server does something within a time.
func (i installation) attempts(t *testing.T, variable string, within time.Duration) float64 {
	t.Helper()
	text, given := i.variables[variable]
	if !given {
		text = found(t, "../../docs/configuration.md", "\\| `"+variable+"` \\| `([^`]+)`")
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval <= 0 {
		t.Fatalf("%s: %s is %q", i.name, variable, text)
	}
	return within.Seconds() / interval.Seconds()
}

// found is what a pattern finds in a file.
func found(t *testing.T, path, pattern string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(pattern).FindSubmatch(content)
	if match == nil {
		t.Fatalf("%s has no %s", path, pattern)
	}
	return string(match[1])
}

// number calculates a number of an expression: factors, and powers.
func number(t *testing.T, text string) float64 {
	t.Helper()
	product := 1.0
	for factor := range strings.SplitSeq(text, "*") {
		base, exponent, isPower := strings.Cut(factor, "^")
		value, err := strconv.ParseFloat(strings.TrimSpace(base), 64)
		if err != nil {
			t.Fatalf("%q is no number: %v", text, err)
		}
		if isPower {
			value = math.Pow(value, number(t, exponent))
		}
		product *= value
	}
	return product
}

// alertRules are the expressions of the alerts by name.
func alertRules(t *testing.T) map[string]string {
	t.Helper()
	rules := make(map[string]string)
	for _, file := range []string{"alerts.yml", "objectives.yml"} {
		content, err := os.ReadFile("../../deploy/monitoring/rules/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Groups []struct {
				Rules []struct{ Alert, Expr string }
			}
		}
		if err := yaml.Unmarshal(content, &all); err != nil {
			t.Fatal(err)
		}
		for _, group := range all.Groups {
			for _, rule := range group.Rules {
				if rule.Alert != "" {
					rules[rule.Alert] = rule.Expr
				}
			}
		}
	}
	return rules
}

// comparison is a bound in an expression; share is one of a share of requests.
var (
	comparison = regexp.MustCompile(`([<>]=?|==) *(\d[0-9.]*(?: *[*^] *[0-9.]+)*)(?: |\)|\n|$)`)
	share      = regexp.MustCompile(`:ratio_rate\w+ (>) ([0-9.]+(?: \* [0-9.]+)*)`)
)

// endless are alerts on what has no bound in an installation, or falls to 0.
var endless = []string{
	"EscrowGridClockSkewed", "EscrowGridDiskNearlyFull", "EscrowGridRefusalsSurging", "EscrowGridKeyRevocationsSurging",
	"EscrowGridCheckpointsLagging", "EscrowGridVerificationStale", "EscrowGridMetricsMissing", "EscrowGridInstanceDown",
	"EscrowGridAllDown", "EscrowGridErrorBudgetSpent", "EscrowGridApprovalExpiring",
}

// An alert on what cannot come about never fires, and nobody notices. What each measures can be
// greater, in every installation that the files describe, than the bound from which it fires.
func TestEveryAlertCanFire(t *testing.T) {
	const failures = 10 * time.Minute
	reaches := map[string]func(t *testing.T, i installation) float64{
		"EscrowGridCPUSaturated":         func(_ *testing.T, i installation) float64 { return i.processors() },
		"EscrowGridQueueSaturated":       func(*testing.T, installation) float64 { return 1 },
		"EscrowGridConnectionsSaturated": func(*testing.T, installation) float64 { return 1 },
		// What is due is counted up to a page.
		"EscrowGridExpiryBehind": func(t *testing.T, _ installation) float64 {
			return number(t, found(t, "../../internal/engine/duties.go", `expiryPage += (\d+)`))
		},
		"EscrowGridDutyFailing": func(t *testing.T, i installation) float64 {
			return i.attempts(t, "EXPIRY_INTERVAL", failures)
		},
		"EscrowGridCheckpointsFailing": func(t *testing.T, i installation) float64 {
			return i.attempts(t, "CHECKPOINT_INTERVAL", failures)
		},
	}

	servers := installations(t)
	for alert, expression := range alertRules(t) {
		if alert == "EscrowGridMemoryHigh" {
			checkMemory(t, servers, expression)
			continue
		}
		bounds, reach := comparison, reaches[alert]
		if strings.Contains(expression, ":ratio_rate") {
			// The numbers of requests beside them have no bound.
			bounds, reach = share, func(*testing.T, installation) float64 { return 1 }
		}
		for _, bound := range bounds.FindAllStringSubmatch(expression, -1) {
			limit := number(t, bound[2])
			switch {
			case limit == 0 || slices.Contains(endless, alert):
				continue
			case reach == nil:
				t.Errorf("%s fires at %s %s, and nothing says whether that can be", alert, bound[1], bound[2])
				continue
			}
			for _, i := range servers {
				if most := reach(t, i); most < limit || most == limit && bound[1] == ">" {
					t.Errorf("%s: %s fires at %s %s, and it is %v at most", i.name, alert, bound[1], bound[2], most)
				}
			}
		}
	}
}

// checkMemory checks that a server reaches the bound of its memory before its container ends it.
func checkMemory(t *testing.T, servers []installation, expression string) {
	t.Helper()
	bounds := regexp.MustCompile(`> on \(job, instance\) ([0-9.]+) \*[^>]*\n?or\n?[^>]*> ([0-9*^ ]+) unless`).
		FindStringSubmatch(strings.ReplaceAll(expression, "\n  ", "\n"))
	if bounds == nil {
		t.Fatalf("the bounds of memory are not those that are known: %s", expression)
	}

	for _, i := range servers {
		bound := number(t, bounds[1]) * i.goLimit(t)
		if math.IsInf(bound, 1) {
			bound = number(t, bounds[2])
		}
		if i.memory <= bound {
			t.Errorf("%s: its memory ends at %v, and EscrowGridMemoryHigh fires at %v", i.name, i.memory, bound)
		}
	}
}

// A rule that looks further back than Prometheus keeps what it knows sees a part of it.
func TestPrometheusKeepsWhatRulesLookAt(t *testing.T) {
	kept := number(t, found(t, "../../deploy/compose/compose.yaml", `--storage\.tsdb\.retention\.time=(\d+)d\n`))
	for _, file := range []string{"alerts.yml", "objectives.yml"} {
		content, err := os.ReadFile("../../deploy/monitoring/rules/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, days := range regexp.MustCompile(`\[(\d+)d\b`).FindAllSubmatch(content, -1) {
			if number(t, string(days[1])) >= kept {
				t.Errorf("%s looks %s days back, and %v are kept", file, days[1], kept)
			}
		}
	}
}
