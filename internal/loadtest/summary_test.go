package loadtest

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aRun is a run that passes.
func aRun() *RunResult {
	return &RunResult{
		Figures:     Figures{Throughput: 1000, P50: 10, P95: 20, P99: 40, P999: 50, Max: 60},
		Objectives:  []Check{{Name: "p95", Limit: "< 300 ms", Value: "20 ms", Passed: true}},
		Correctness: Correctness{Passed: true, Acknowledged: 9496},
		Samples:     []Sample{{At: time.Now(), CPU: 1, Generator: 1, Memory: 1 << 20, MemoryLimit: 10 << 20, Processors: 2, PoolUsed: 1, PoolLimit: 5}},
	}
}

func loseAWrite(r *RunResult) {
	r.Correctness.addDifference("operation x is in no journal")
	r.Correctness.Passed = false
}

func TestVerdict(t *testing.T) {
	machine := Machine{OS: "linux", Processors: 2}
	baseline := func(change func(*Summary)) *Summary {
		s := &Summary{Profile: "load", Machine: machine, Figures: aRun().Figures, Runs: []*RunResult{aRun()}}
		if change != nil {
			change(s)
		}
		return s
	}

	for name, test := range map[string]struct {
		profile, variables string
		change             func(*RunResult)
		baseline           *Summary
		want               int
	}{
		"all is well":                  {want: 0},
		"an objective is missed":       {change: func(r *RunResult) { r.Objectives[0].Passed = false }, want: ExitObjectives},
		"writes are lost":              {change: loseAWrite, want: ExitIncorrect},
		"nobody knows what is lost":    {change: func(r *RunResult) { r.Correctness.deny("the server ended") }, want: ExitNotEstablished},
		"the load was broken off":      {change: func(r *RunResult) { r.addProblem("k6 stopped") }, want: ExitUnfinished},
		"nine tenths of the memory":    {change: func(r *RunResult) { r.Samples[0].Memory *= 9 }, want: ExitObjectives},
		"more memory is allowed":       {variables: "MAX_MEMORY_SHARE=0.95", change: func(r *RunResult) { r.Samples[0].Memory *= 9 }, want: 0},
		"the generator was the limit":  {change: func(r *RunResult) { r.Samples[0].Generator = 1.7 }, want: ExitObjectives},
		"and where a limit is sought":  {profile: "stress", change: func(r *RunResult) { r.Samples[0].Generator = 1.7 }, want: ExitObjectives},
		"no bound for processors":      {variables: "MAX_CPU_SHARE=1", change: func(r *RunResult) { r.Samples[0].CPU = 2 }, want: 0},
		"a limit that nobody knows":    {change: func(r *RunResult) { r.Samples[0].MemoryLimit = 0 }, want: 0},
		"which an objective is about":  {variables: "MAX_MEMORY_SHARE=0.8", change: func(r *RunResult) { r.Samples[0].MemoryLimit = 0 }, want: ExitObjectives},
		"all processors are used":      {change: func(r *RunResult) { r.Samples[0].CPU = 1.6 }, want: ExitObjectives},
		"all connections are used":     {change: func(r *RunResult) { r.Samples[0].PoolUsed = 4 }, want: ExitObjectives},
		"nearly all processors":        {change: func(r *RunResult) { r.Samples[0].CPU = 1.59 }, want: 0},
		"the limit is looked for":      {profile: "stress", change: func(r *RunResult) { r.Samples[0].CPU = 2 }, want: 0},
		"as fast as before":            {baseline: baseline(nil), want: 0},
		"the baseline twice as fast":   {baseline: baseline(func(s *Summary) { s.Figures.Throughput *= 2 }), want: ExitRegression},
		"just fast enough":             {baseline: baseline(func(s *Summary) { s.Figures.Throughput = 1111 }), want: 0},
		"a little too slow":            {baseline: baseline(func(s *Summary) { s.Figures.Throughput = 1112 }), want: ExitRegression},
		"the tail twice as long":       {baseline: baseline(func(s *Summary) { s.Figures.P99 /= 2 }), want: ExitRegression},
		"a baseline of other hardware": {baseline: baseline(func(s *Summary) { s.Machine.Processors = 64 }), want: ExitRegression},
		"a baseline of another load":   {baseline: baseline(func(s *Summary) { s.Profile = "mixed" }), want: ExitRegression},
		"lost before missed":           {change: func(r *RunResult) { r.Objectives[0].Passed = false; loseAWrite(r) }, want: ExitIncorrect},
		"unknown before missed":        {change: func(r *RunResult) { r.Objectives[0].Passed = false; r.Correctness.deny("x") }, want: ExitNotEstablished},
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
			if test.variables != "" {
				s.Variables = []string{test.variables}
			}
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

// A baseline that differs in anything but speed is not compared, and the verdict names what it is.
func TestWhatABaselineDiffersInIsNamed(t *testing.T) {
	newSummary := func() *Summary {
		run := aRun()
		run.Server = ServerInfo{Store: "sqlite", Private: true}
		return &Summary{
			Profile:   "load",
			Variables: []string{"RATE=20", "VUS=5"},
			K6:        "v2.2.0",
			Machine:   Machine{OS: "linux", Processors: 2},
			Figures:   run.Figures,
			Runs:      []*RunResult{run},
		}
	}
	for name, change := range map[string]func(*Summary){
		"profile":                   func(s *Summary) { s.Profile = "mixed" },
		"variables":                 func(s *Summary) { s.Variables[0] = "RATE=21" },
		"database":                  func(s *Summary) { s.Runs[0].Server.Store = "postgres" },
		"k6":                        func(s *Summary) { s.K6 = "v2.1.0" },
		"machine":                   func(s *Summary) { s.Machine.Processor = "other" },
		"processors of the machine": func(s *Summary) { s.Machine.Processors = 4 },
		"processors of the server":  func(s *Summary) { s.Runs[0].Samples[0].Processors = 4 },
		"":                          func(s *Summary) { slices.Reverse(s.Variables) },
	} {
		s, baseline := newSummary(), newSummary()
		change(baseline)
		s.judge(Profile{}, baseline, Tolerances{})
		if name == "" {
			if !s.Passed || len(s.Regression) != 4 {
				t.Errorf("with variables in another order: %+v", s.Regression)
			}
			continue
		}
		if s.ExitCode != ExitRegression || len(s.Regression) != 1 || s.Regression[0].Name != name ||
			!strings.HasPrefix(s.Headline, "not comparable with the baseline, ") {
			t.Errorf("%s: exit code %d, %+v, %s", name, s.ExitCode, s.Regression, s.Headline)
		}
		checkJUnit(t, s)
	}
}

// What is compared is named, and how many figures are worse.
func TestABaselineIsNamed(t *testing.T) {
	before := &Summary{Profile: "load", Figures: aRun().Figures, StartedAt: time.Date(2026, 11, 29, 6, 0, 0, 0, time.UTC), Runs: []*RunResult{aRun()}}
	before.Runs[0].RunID, before.Runs[0].Server.Version = "lt1129", "1.2.3"
	before.Figures.Throughput *= 2
	before.Figures.P99 /= 2
	s := &Summary{Profile: "load", Runs: []*RunResult{aRun()}}
	s.judge(Profile{}, before, Tolerances{Throughput: 0.1, Latency: 0.25})
	page, err := s.page()
	if err != nil {
		t.Fatal(err)
	}
	if want := "run lt1129 of EscrowGrid 1.2.3, begun 2026-11-29 06:00:00 UTC"; !strings.Contains(string(page), want) {
		t.Errorf("the page does not say %q", want)
	}
	if want := "2 figures are worse than the baseline's, first answers per second: 1,000/s (-50.0 %), has to be "; !strings.HasPrefix(s.Headline, want) {
		t.Errorf("it says %q, want %q…", s.Headline, want)
	}
}

// The sentence on top of the report says how fast the server was or what was wrong, and what is
// known of the writes.
func TestHeadlines(t *testing.T) {
	for want, change := range map[string]func(*RunResult){
		"412 pairs/s at p99 38 ms; 9,496 acknowledged writes are there exactly once.": func(r *RunResult) {
			r.PairsPerSecond, r.Figures.P99 = 412, 38
		},
		"1,000 answers/s at p99 40 ms; the one acknowledged write is there exactly once.": func(r *RunResult) {
			r.Correctness.Acknowledged = 1
		},
		"the knee is at 400 iterations/s, with 1,000 answers/s at p99 40 ms; 9,496 acknowledged writes are there exactly once.": func(r *RunResult) {
			r.Breakpoint = &Breakpoint{Knee: 400}
		},
		"even the first step, 50 iterations/s, misses an objective; 9,496 acknowledged writes are there exactly once.": func(r *RunResult) {
			r.Objectives[0].Passed = false
			r.Breakpoint = &Breakpoint{Steps: []Step{{Rate: 50}}}
		},
		"one objective is missed: p95: 20 ms, has to be < 300 ms; 9,496 acknowledged writes are there exactly once.": func(r *RunResult) {
			r.Objectives[0].Passed = false
		},
		"the server ended at 06:21:16 UTC by signal killed; whether 9,496 acknowledged writes are there exactly once is not established.": func(r *RunResult) {
			ended := &endedError{at: time.Date(2026, 11, 30, 6, 21, 16, 0, time.UTC), how: "by signal killed"}
			r.addProblem("%s", ended)
			r.Correctness.deny("%s", ended)
		},
		"1 difference between what was acknowledged and what is there.": loseAWrite,
	} {
		run := aRun()
		change(run)
		s := &Summary{Profile: "load", Machine: Machine{Processors: 2}, Runs: []*RunResult{run}}
		s.judge(Profile{}, nil, Tolerances{})
		if s.Headline != want {
			t.Errorf("it says %q, want %q", s.Headline, want)
		}
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

	// The tables of the report count each answer once.
	wantStatuses := map[int]int{201: 1, 422: 1, 0: 1, 200: 1, 500: 1}
	if diff := cmp.Diff(wantStatuses, run.Statuses); diff != "" {
		t.Errorf("the statuses (-want +got):\n%s", diff)
	}
	var found []Bucket
	for _, bucket := range run.Latencies {
		if bucket.Answers > 0 {
			found = append(found, bucket)
		}
	}
	wantBuckets := []Bucket{{UpTo: 1, Answers: 1}, {UpTo: 2, Answers: 1}, {UpTo: 5, Answers: 2}, {UpTo: 50, Answers: 1}}
	if diff := cmp.Diff(wantBuckets, found); diff != "" {
		t.Errorf("the distribution (-want +got):\n%s", diff)
	}
	for i, want := range []OperationFigures{
		{Kind: "list", Endpoint: "GET /positions", Answers: 2, Failed: 1},
		{Kind: "create", Endpoint: "POST /positions", Answers: 3, Refused: 1, Failed: 1},
	} {
		got := run.Operations[i]
		if got.Kind != want.Kind || got.Endpoint != want.Endpoint || got.Answers != want.Answers ||
			got.Refused != want.Refused || got.Failed != want.Failed || got.P50 == 0 {
			t.Errorf("the figures are %+v, want %+v", got, want)
		}
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
	run.Seconds[3].Errors = 1
	ended := startedAt.Add(12 * time.Second)
	run.LoadAt, run.Server.EndedAt = startedAt, &ended
	s := &Summary{Profile: "load", Runs: []*RunResult{run}}
	s.Plan.Marks = []Mark{{After: 6 * time.Second, Label: "50/s"}, {After: time.Minute, Label: "100/s"}}
	s.judge(Profile{Name: "load"}, nil, Tolerances{})
	directory := t.TempDir()
	if err := s.write(directory); err != nil {
		t.Fatal(err)
	}

	page, err := os.ReadFile(filepath.Join(directory, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<h3>Latency</h3>", "failed</span>", "operation &lt;b&gt;x&lt;/b&gt; was lost", "highest 109", "Virtual users",
		"<b>Failed:</b> 1 difference between what was acknowledged and what is there.",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	// All charts have the same time axis, with the stage that began and the end of the server.
	charts := strings.Count(string(page), "<svg ")
	for _, each := range []string{
		`class="mark" x1="230" x2="230"`, `class="error" x1="115" x2="115"`, `class="end" x1="460" x2="460"`, `>12s</text>`,
	} {
		if n := strings.Count(string(page), each); n != charts || charts == 0 {
			t.Errorf("%d of %d charts have %s", n, charts, each)
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

// A breakpoint run misses an objective in the end by design: only the knee counts, and its
// figures are those of the test.
func TestTheKneeIsTheResultOfABreakpointRun(t *testing.T) {
	for name, test := range map[string]struct {
		knee   string
		passed bool
		p99    float64
	}{"found": {"200", true, 6}, "missed in the first step": {"0", false, 40}} {
		path := filepath.Join(t.TempDir(), "summary.json")
		content := `{"run": "lt1", "objectives": [
			{"name": "p95 at 600/s", "metric": "operation_duration{scenario:step_003}", "ok": false, "bound": "< 300 ms", "measured": "512 ms"},
			{"name": "positions funded", "metric": "positions_funded", "ok": true, "bound": "> 0", "measured": "7"}],
			"breakpoint": {"knee": ` + test.knee + `, "steps": [{"rate": 200, "ok": true, "reached": true, "p95": 4, "p99": 6}]}}`
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}

		summary, err := readSummary(path, "lt1", outcome{code: k6ThresholdsFailed})
		if err != nil {
			t.Fatal(err)
		}
		run := aRun()
		run.addSummary(summary)
		checks := run.Objectives
		if len(checks) != 2 || checks[0].Value != test.knee+"/s" || checks[0].Passed != test.passed || !checks[1].Passed {
			t.Errorf("%s: the checks are %+v", name, checks)
		}
		if run.Figures.P99 != test.p99 || len(run.Breakpoint.Steps) != 1 {
			t.Errorf("%s: the figures are %+v, the steps %+v", name, run.Figures, run.Breakpoint)
		}
	}
}

// What k6 left must be of this run, and agree with how it ended; everything else fails the test.
func TestOnlyTheSummaryOfTheRunCounts(t *testing.T) {
	objective := func(ok string) string {
		return `{"run": "lt1", "objectives": [{"name": "p95", "metric": "m", "ok": ` + ok + `, "bound": "< 300 ms", "measured": "1 ms"}]}`
	}
	for says, test := range map[string]struct {
		content string
		code    int
	}{
		"":                   {objective("true"), k6Passed},
		"left no summary":    {"", k6Passed},
		"is of the run":      {`{"run": "lt0", "objectives": [{"ok": true}]}`, k6Passed},
		"has no objectives":  {`{"run": "lt1"}`, k6Passed},
		"k6's summary: ":     {`{"run": `, k6Passed},
		"with exit code 0,":  {objective("false"), k6Passed},
		"with exit code 99,": {objective("true"), k6ThresholdsFailed},
	} {
		path := filepath.Join(t.TempDir(), "summary.json")
		if test.content != "" {
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := readSummary(path, "lt1", outcome{code: test.code})
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q with exit code %d: %v, want %q", test.content, test.code, err, says)
		}
	}
}

// Every exit code of k6 but two has a reason.
func TestExitCodesOfK6(t *testing.T) {
	for code := -1; code <= 255; code++ {
		problem := outcome{code: code, lastLine: "it broke"}.problem()
		if isVerdict := code == k6Passed || code == k6ThresholdsFailed; (problem == "") != isVerdict {
			t.Errorf("%d: %q", code, problem)
		} else if !isVerdict && !strings.HasSuffix(problem, ": it broke") {
			t.Errorf("%d: %q does not say what k6 said", code, problem)
		}
	}
}
