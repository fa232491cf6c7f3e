package loadtest

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// k6Target has the variables of the scripts that say what to send the load to.
type k6Target struct{ URL, APIKey, AssetID, RootKey, CheckerKey, Institutions string }

// inherited are the variables of the environment that k6 gets: how it finds programs and files,
// and how it reaches a server. Others could change what it sends or how it is judged.
var inherited = []string{
	"PATH", "HOME", "TMPDIR", "GOMAXPROCS", "GOMEMLIMIT", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// prometheusPrefix begins the names of the variables with which k6 signs in to a Prometheus.
const prometheusPrefix = "K6_PROMETHEUS_RW_"

// environment returns k6's environment for a target. Nothing of the operator's own environment
// can replace a variable of the test, and no variable of the operator one of the kit.
func (tool *k6) environment(target k6Target) []string {
	var environment, names []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains(inherited, name) || tool.prometheusURL != "" && strings.HasPrefix(name, prometheusPrefix) {
			environment = append(environment, variable)
		}
	}
	for _, variable := range tool.variables {
		name, _, _ := strings.Cut(variable, "=")
		environment, names = append(environment, variable), append(names, name)
	}

	environment = append(environment,
		"K6_AUTO_EXTENSION_RESOLUTION=false",
		"K6_NO_USAGE_REPORT=true",
		"K6_CONFIG="+tool.configPath(),
		"MUST_USE="+strings.Join(names, ","),
		"API_URL="+target.URL,
		"API_KEY="+target.APIKey,
		"ASSET_ID="+target.AssetID,
		"INSTITUTIONS="+target.Institutions)
	if target.RootKey != "" {
		environment = append(environment, "ROOT_API_KEY="+target.RootKey)
	}
	if target.CheckerKey != "" {
		environment = append(environment, "CHECKER_API_KEY="+target.CheckerKey)
	}
	if tool.prometheusURL != "" {
		environment = append(environment,
			prometheusPrefix+"SERVER_URL="+tool.prometheusURL,
			prometheusPrefix+"TREND_STATS=avg,p(50),p(95),p(99),max",
			prometheusPrefix+"STALE_MARKERS=true") // A run's series end with the run.
	}
	return environment
}

// tellStripped says which of the operator's variables for k6 the load does not get.
func (tool *k6) tellStripped(progress io.Writer) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		passed := tool.prometheusURL != "" && strings.HasPrefix(name, prometheusPrefix)
		if strings.HasPrefix(name, "K6_") && !passed {
			fmt.Fprintf(progress, "k6 does not get %s of the environment: flags and --set say what is sent\n", name)
		}
	}
}

// kitVariables are the variables of the scripts that a load test sets itself.
var kitVariables = []string{
	"API_URL", "API_KEY", "ASSET_ID", "INSTITUTIONS", "ROOT_API_KEY", "CHECKER_API_KEY",
	"RUN_ID", "OUT_DIR", "SUMMARY_FILE", "OPERATIONS_LOG", "MUST_USE",
}

var variableName = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// checkVariables returns a UsageError about a variable that no operator may set, or that is set
// twice. The scripts check the others, and the values.
func checkVariables(variables []string) error {
	seen := make(map[string]bool)
	for _, variable := range variables {
		name, _, ok := strings.Cut(variable, "=")
		switch {
		case !ok || !variableName.MatchString(name) || strings.HasPrefix(name, "K6_"):
			return &UsageError{fmt.Sprintf("%q is not the NAME=VALUE of a variable of the scripts", variable)}
		case slices.Contains(kitVariables, name):
			return &UsageError{name + " is set by the load test itself"}
		case seen[name]:
			return &UsageError{name + " is set twice"}
		}
		seen[name] = true
	}
	return nil
}

// share returns the value of a variable that is a share, and whether the operator set it. The
// script has checked its form.
func share(variables []string, name string, byDefault float64) (_ float64, set bool) {
	for _, variable := range variables {
		if text, ok := strings.CutPrefix(variable, name+"="); ok {
			if value, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil {
				return value, true
			}
		}
	}
	return byDefault, false
}
