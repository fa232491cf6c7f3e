package loadtest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/loadtest/k6test"
)

// aK6 is the real k6, with variables.
func aK6(t *testing.T, variables ...string) *k6 {
	t.Helper()
	tool, err := openK6(t.Context(), Config{K6: k6test.Path(t), Variables: variables, Progress: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tool.close(); err != nil {
			t.Error(err)
		}
	})
	return tool
}

// k6 says what load each profile sends, and when it changes.
func TestPlans(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		variables []string
		text      string
		marks     []time.Duration
	}{
		"smoke": {nil, "60 iterations/s for 5s", nil},
		"load": {
			nil, "from 0 to 75/s in 30s; 75/s for 4m; from 75 to 0/s in 30s; at most 150 clients at a time",
			[]time.Duration{30 * time.Second, 270 * time.Second, 300 * time.Second},
		},
		"users": {
			[]string{"STAGES=1m:20,0s:5"}, "from 0 to 20 users in 1m; at once 5 users", []time.Duration{time.Minute, time.Minute},
		},
		"breakpoint": {
			[]string{"STEPS=2", "DURATION=1h", "RATE=100"},
			"50, 100 iterations/s, each for 30m",
			[]time.Duration{30 * time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, err := aK6(t, test.variables...).inspect(t.Context(), Profile{Name: name})
			if err != nil || strings.Join(plan.Text, "; ") != test.text {
				t.Errorf("the plan is %q, %v", plan.Text, err)
			}
			var marks []time.Duration
			for _, mark := range plan.Marks {
				marks = append(marks, mark.After)
			}
			if diff := cmp.Diff(test.marks, marks); diff != "" {
				t.Errorf("the load changes (-want +got):\n%s", diff)
			}
		})
	}
}

// Every profile that the program offers is a script that k6 can load.
func TestEveryProfileHasAScript(t *testing.T) {
	t.Parallel()
	tool := aK6(t)
	for _, profile := range Profiles() {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			if _, err := tool.inspect(t.Context(), profile); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nothing of a shell's variables reaches the scripts but what leads to the server.
func TestK6InheritsOnlyWhatItNeeds(t *testing.T) {
	for _, variable := range []string{"K6_ITERATIONS", "K6_PROMETHEUS_RW_USERNAME", "MAX_FAILED", "API_URL", "HTTPS_PROXY"} {
		t.Setenv(variable, "inherited")
	}
	for prometheus, want := range map[string][]string{
		"":                  {"HTTPS_PROXY"},
		"http://prometheus": {"HTTPS_PROXY", "K6_PROMETHEUS_RW_USERNAME"},
	} {
		tool := &k6{prometheusURL: prometheus}
		var inherited []string
		for _, variable := range tool.environment(k6Target{}) {
			if name, ok := strings.CutSuffix(variable, "=inherited"); ok {
				inherited = append(inherited, name)
			}
		}
		slices.Sort(inherited)
		if diff := cmp.Diff(want, inherited); diff != "" {
			t.Errorf("with the Prometheus %q it inherits (-want +got):\n%s", prometheus, diff)
		}
	}
}

// A program that is no k6, or does nothing, passes nothing; and what an earlier test left in the
// folder of its report does not help it.
func TestAK6ThatDoesNothingFails(t *testing.T) {
	eachStore(t, func(b *bank) {
		script := filepath.Join(b.t.TempDir(), "k6")
		content := "#!/bin/sh\ncase $1 in version) echo k6 v2.2.0;; inspect) echo '{\"vus\": 1, \"duration\": \"1s\"}';; esac\n"
		if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
			b.t.Fatal(err)
		}
		directory := b.t.TempDir()
		earlier := filepath.Join(directory, k6Folder, summaryFile)
		passed := `{"run": "lt1", "objectives": [{"name": "p95", "ok": true, "bound": "< 300 ms", "measured": "1 ms"}]}`
		if err := os.Mkdir(filepath.Dir(earlier), 0o700); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(earlier, []byte(passed), 0o600); err != nil {
			b.t.Fatal(err)
		}

		summary, err := Run(context.WithoutCancel(b.t.Context()), Config{
			Profile:   "smoke",
			Target:    b.URL,
			RootKey:   b.RootKey,
			K6:        script,
			Directory: directory,
			Progress:  b.t.Output(),
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if summary.Passed || summary.ExitCode != ExitNotEstablished {
			b.t.Errorf("it passed: %t, with exit code %d", summary.Passed, summary.ExitCode)
		}
		if problems := summary.Runs[0].Problems; len(problems) != 1 || problems[0] != "k6 left no summary" {
			b.t.Errorf("the problems are %q", problems)
		}
	})
}
