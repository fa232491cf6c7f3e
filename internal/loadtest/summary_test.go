package loadtest

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// aRun is a run that passes.
func aRun() *RunResult {
	return &RunResult{
		Figures:     Figures{Throughput: 1000, P50: 10, P95: 20, P99: 40, P999: 50, Max: 60},
		Objectives:  []Check{{Name: "p95", Limit: "< 300 ms", Value: "20 ms", Passed: true}},
		Correctness: Correctness{Passed: true},
		resources:   []Sample{{CPU: 1, Processors: 2, PoolUsed: 1, PoolLimit: 5}},
	}
}

func TestVerdict(t *testing.T) {
	machine := Machine{OS: "linux", Processors: 2}
	baseline := func(change func(*Summary)) *Summary {
		s := &Summary{Profile: "load", Machine: machine, Figures: aRun().Figures}
		if change != nil {
			change(s)
		}
		return s
	}

	for name, test := range map[string]struct {
		profile  string
		change   func(*RunResult)
		baseline *Summary
		want     int
	}{
		"all is well":                  {want: 0},
		"an objective is missed":       {change: func(r *RunResult) { r.Objectives[0].Passed = false }, want: ExitObjectives},
		"writes are lost":              {change: func(r *RunResult) { r.Correctness.Passed = false }, want: ExitIncorrect},
		"all processors are used":      {change: func(r *RunResult) { r.resources[0].CPU = 1.6 }, want: ExitObjectives},
		"all connections are used":     {change: func(r *RunResult) { r.resources[0].PoolUsed = 4 }, want: ExitObjectives},
		"nearly all processors":        {change: func(r *RunResult) { r.resources[0].CPU = 1.59 }, want: 0},
		"the limit is looked for":      {profile: "stress", change: func(r *RunResult) { r.resources[0].CPU = 2 }, want: 0},
		"as fast as before":            {baseline: baseline(nil), want: 0},
		"the baseline twice as fast":   {baseline: baseline(func(s *Summary) { s.Figures.Throughput *= 2 }), want: ExitRegression},
		"just fast enough":             {baseline: baseline(func(s *Summary) { s.Figures.Throughput = 1111 }), want: 0},
		"a little too slow":            {baseline: baseline(func(s *Summary) { s.Figures.Throughput = 1112 }), want: ExitRegression},
		"the tail twice as long":       {baseline: baseline(func(s *Summary) { s.Figures.P99 /= 2 }), want: ExitRegression},
		"a baseline of other hardware": {baseline: baseline(func(s *Summary) { s.Machine.Processors = 64 }), want: ExitRegression},
		"a baseline of another load":   {baseline: baseline(func(s *Summary) { s.Profile = "mixed" }), want: ExitRegression},
		"lost before missed":           {change: func(r *RunResult) { r.Objectives[0].Passed, r.Correctness.Passed = false, false }, want: ExitIncorrect},
		"missed before slower": {
			change:   func(r *RunResult) { r.Objectives[0].Passed = false },
			baseline: baseline(func(s *Summary) { s.Figures.Throughput *= 2 }),
			want:     ExitObjectives,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := aRun()
			if test.change != nil {
				test.change(run)
			}
			profile, err := profileNamed("load")
			if test.profile != "" {
				profile, err = profileNamed(test.profile)
			}
			if err != nil {
				t.Fatal(err)
			}

			s := &Summary{Profile: profile.Name, Machine: machine, Runs: []*RunResult{run}}
			s.judge(profile, test.baseline, Tolerances{Throughput: 0.1, Latency: 0.25})
			if s.ExitCode != test.want || s.Passed != (test.want == 0) {
				t.Errorf("passed is %t with exit code %d, want %d", s.Passed, s.ExitCode, test.want)
			}
			checkJUnit(t, s)
		})
	}
}

// checkJUnit compares the JUnit file with the verdict.
func checkJUnit(t *testing.T, s *Summary) {
	t.Helper()
	content, err := s.junit()
	if err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(content, &suites); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for _, suite := range suites.Suites {
		failures += suite.Failures
	}
	if s.Passed != (failures == 0) {
		t.Errorf("passed is %t, and the JUnit file has %d failures:\n%s", s.Passed, failures, content)
	}
}

func TestMediansOfRuns(t *testing.T) {
	runs := []*RunResult{aRun(), aRun(), aRun()}
	for i, throughput := range []float64{900, 5000, 1000} {
		runs[i].Figures.Throughput = throughput
	}
	if got := medians(runs).Throughput; got != 1000 {
		t.Errorf("the median of 900, 1000 and 5000 is %g", got)
	}
	if got := medians(runs[:2]).Throughput; got != 2950 {
		t.Errorf("the median of 900 and 5000 is %g", got)
	}
}

func TestABaselineIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "baseline.json")
	s := &Summary{Profile: "load", Machine: thisMachine(), Figures: aRun().Figures, Runs: []*RunResult{aRun()}}
	if err := s.save(path); err != nil {
		t.Fatal(err)
	}
	read, err := readBaseline(path)
	if err != nil || read.Figures != s.Figures || read.Machine != s.Machine {
		t.Errorf("read %+v, %v", read, err)
	}
	for name, content := range map[string]string{"no JSON": "{", "another file": `{"name": "x"}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBaseline(path); err == nil {
			t.Errorf("%s is taken for a baseline", name)
		}
	}
}

func TestOperationsAreCounted(t *testing.T) {
	o := newOperations(io.Discard)
	for _, line := range []string{
		"",
		"EG",
		"EG begin",
		"EG end never-begun ok 200 - 1 - 1",
		"EG begin a create - more",
		"EG other a b c",
		"WARN EG begin a create -",
		"EG read list 200",
	} {
		if o.addLine(line) {
			t.Errorf("%q is taken for a line of the log", line)
		}
	}
	for _, line := range []string{
		"EG begin a create -",
		"EG end a ok 201 - 1.000 pos_1 5",
		"EG begin b create -",
		"EG end b refused 422 policy_min_amount 2.0 - 6",
		"EG begin c create -",
		"EG end c unknown 0 - 30.5 - 7",
		"EG begin d create -",
		"EG read list 200 4.25 8",
		"EG read list 500 5 9",
	} {
		if !o.addLine(line) {
			t.Errorf("%q is not taken for a line of the log", line)
		}
	}
	o.finish()

	var run RunResult
	run.summarize(o)
	if counts := run.Outcomes; counts[outcomeOK] != 1 || counts[outcomeRefused] != 1 || counts[outcomeUnknown] != 2 {
		t.Errorf("outcomes are %v", counts)
	}
	answers, failed, users := 0, 0, 0
	for _, second := range run.Seconds {
		answers, failed, users = answers+second.Answers, failed+second.Errors, max(users, second.VUs)
	}
	if answers != 5 || failed != 2 || users != 9 ||
		run.Figures.P50 != 4.251 && run.Figures.P50 != 4.25 || run.Figures.Max < 30 {
		t.Errorf("%d answers, %d errors, %d VUs, %+v", answers, failed, users, run.Figures)
	}
}

// A report has a chart of everything that was measured, and of nothing else.
func TestReport(t *testing.T) {
	run := aRun()
	startedAt := time.Now()
	for i := range 10 {
		at := startedAt.Add(time.Duration(i) * time.Second)
		run.Seconds = append(run.Seconds, Second{
			At:      at,
			Answers: 100 + i,
			VUs:     i,
			P50:     1,
			P95:     2,
			P99:     float64(i),
		})
	}
	run.Correctness = Correctness{DifferenceCount: 1, Differences: []string{"operation <b>x</b> was lost"}}
	s := &Summary{Profile: "load", Runs: []*RunResult{run}}
	s.judge(Profile{Name: "load"}, nil, Tolerances{})
	directory := t.TempDir()
	if err := s.write(directory); err != nil {
		t.Fatal(err)
	}

	page, err := os.ReadFile(filepath.Join(directory, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<h3>Latency</h3>", "failed</span>", "operation &lt;b&gt;x&lt;/b&gt; was lost", "highest 109", "Virtual users"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	for _, unwanted := range []string{"http://", "https://", "NaN", "Database connections</h3>"} {
		if strings.Contains(string(page), unwanted) {
			t.Errorf("the page has %q", unwanted)
		}
	}

	content, err := os.ReadFile(filepath.Join(directory, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &Summary{}); err != nil {
		t.Error(err)
	}
}

// A breakpoint run misses an objective in the end by design: only the knee counts.
func TestTheKneeIsTheResultOfABreakpointRun(t *testing.T) {
	for name, test := range map[string]struct {
		knee   string
		passed bool
	}{"found": {"400", true}, "missed in the first step": {"0", false}} {
		directory := t.TempDir()
		content := `{"objectives": [
			{"name": "p95 at 600/s", "metric": "operation_duration{scenario:step_003}", "threshold": "p(95)<300", "ok": false, "value": 512.25},
			{"name": "positions funded", "metric": "positions_funded", "threshold": "count>0", "ok": true, "value": 7}],
			"breakpoint": {"knee": ` + test.knee + `, "steps": [{"rate": 200, "ok": true, "reached": true, "p95": 4}]}}`
		if err := os.WriteFile(filepath.Join(directory, "summary.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}

		checks, breakpoint, err := outcome{directory: directory}.readSummary()
		if err != nil || len(checks) != 2 || checks[0].Value != test.knee || checks[0].Passed != test.passed ||
			!checks[1].Passed {
			t.Errorf("%s: the checks are %+v, %v", name, checks, err)
		}
		if breakpoint == nil || len(breakpoint.Steps) != 1 {
			t.Errorf("%s: the steps are %+v", name, breakpoint)
		}
	}

	_, _, err := outcome{directory: t.TempDir(), lastLine: "it broke"}.readSummary()
	if err == nil || !strings.Contains(err.Error(), "it broke") {
		t.Errorf("without a summary: %v", err)
	}
}
