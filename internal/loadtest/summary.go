package loadtest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Summary is the verdict of a load test with everything that it rests on, as in
// summary.json.
type Summary struct {
	Passed bool `json:"passed"`
	// ExitCode is 0 or one of the exit codes of a verdict.
	ExitCode  int       `json:"exitCode"`
	Profile   string    `json:"profile"`
	StartedAt time.Time `json:"startedAt"`
	Variables []string  `json:"variables,omitempty"`
	Machine   Machine   `json:"machine"`
	// Figures are the medians of the runs.
	Figures Figures `json:"figures"`
	// Regression compares the figures with a baseline's.
	Regression []Check      `json:"regression,omitempty"`
	Runs       []*RunResult `json:"runs"`
}

// RunResult is the result of one run of the profile.
type RunResult struct {
	// RunID is the prefix of the ids of the run's operations.
	RunID     string        `json:"runId"`
	StartedAt time.Time     `json:"startedAt"`
	Duration  time.Duration `json:"durationNanoseconds"`
	Server    ServerInfo    `json:"server"`
	// Outcomes counts the operations by ok, refused and unknown.
	Outcomes map[string]int `json:"outcomes"`
	Figures  Figures        `json:"figures"`
	// Objectives are the script's own, as k6 judged them.
	Objectives []Check `json:"objectives"`
	// Breakpoint is nil unless the profile looks for one.
	Breakpoint  *Breakpoint `json:"breakpoint,omitempty"`
	Correctness Correctness `json:"correctness"`
	Resources   []Check     `json:"resources"`
	Seconds     []Second    `json:"seconds"`
	Samples     []Sample    `json:"samples"`

	// resources are the samples before they are judged.
	resources []Sample
}

// ServerInfo identifies the tested server.
type ServerInfo struct {
	URL     string `json:"url"`
	Version string `json:"version"`
	Store   string `json:"store"`
	Private bool   `json:"private"`
}

// Figures are compared with a baseline's. Throughput is in answers per second, from the
// first answer to the last; the others are latencies in milliseconds.
type Figures struct {
	Throughput float64 `json:"throughput"`
	P50        float64 `json:"p50"`
	P95        float64 `json:"p95"`
	P99        float64 `json:"p99"`
	P999       float64 `json:"p999"`
	Max        float64 `json:"max"`
}

// Check is a condition of a passed test, with the measured value.
type Check struct {
	Name string `json:"name"`
	// Limit and Value are for people, with their units.
	Limit  string `json:"limit"`
	Value  string `json:"value"`
	Passed bool   `json:"passed"`
}

// Machine describes the machine of a test. Figures of different machines are not compared.
type Machine struct {
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
}

// thisMachine describes the machine of this process. Processor is empty where the system
// does not tell its model.
func thisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Processors: runtime.GOMAXPROCS(0)}
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m // Only Linux has this file.
	}
	defer func() { _ = file.Close() }() // It is only read.

	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.Processor = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// summarize computes the outcomes and the figures of a run from its operations.
func (r *RunResult) summarize(o *operations) {
	r.Outcomes, r.Seconds = o.outcomes(), o.seconds
	answers := 0
	for _, second := range o.seconds {
		answers += second.Answers
	}

	ms := func(q float64) float64 { return float64(o.latency.ValueAtQuantile(q)) / 1000 }
	r.Figures = Figures{
		P50:  ms(50),
		P95:  ms(95),
		P99:  ms(99),
		P999: ms(99.9),
		Max:  float64(o.latency.Max()) / 1000,
	}
	if span := o.last.Sub(o.first); span > 0 {
		r.Figures.Throughput = float64(answers-1) / span.Seconds()
	}
}

// maxUtilisation is the objective for the use of the server's processors and connections,
// as a share. Above it, queues grow faster than the load.
const maxUtilisation = 0.8

// judgeResources compares the average use of processors and connections with the
// objective, which a profile that saturates the server does not have.
func (r *RunResult) judgeResources(saturates bool) {
	r.Samples = r.resources
	r.Resources = []Check{}
	if len(r.Samples) == 0 || saturates {
		return
	}

	var cpu, processors, used, limit float64
	for _, sample := range r.Samples {
		cpu += sample.CPU
		processors += sample.Processors
		used += sample.PoolUsed
		limit += sample.PoolLimit
	}

	judge := func(name string, used, limit float64) {
		if limit > 0 {
			r.Resources = append(r.Resources, Check{
				Name:   name,
				Limit:  "< 80 %",
				Value:  formatNumber(100*used/limit) + " %",
				Passed: used/limit < maxUtilisation,
			})
		}
	}
	judge("the server's processors in use, on average", cpu, processors)
	judge("database connections in use, on average", used, limit)
}

// Tolerances are how much worse than the baseline a run may be, as shares: 0.1 is 10 %.
type Tolerances struct{ Throughput, Latency float64 }

// judge reaches the verdict. The baseline may be nil.
func (s *Summary) judge(profile Profile, baseline *Summary, tolerances Tolerances) {
	objectives, correct := true, true
	for _, run := range s.Runs {
		run.judgeResources(profile.saturates)
		for _, check := range slices.Concat(run.Objectives, run.Resources) {
			objectives = objectives && check.Passed
		}
		correct = correct && run.Correctness.Passed
	}

	s.Figures = medians(s.Runs)
	if baseline != nil {
		s.compare(baseline, tolerances)
	}

	regressed := slices.ContainsFunc(s.Regression, func(c Check) bool { return !c.Passed })

	// Lost money matters more than a missed objective, and that more than a regression.
	switch {
	case !correct:
		s.ExitCode = ExitIncorrect
	case !objectives:
		s.ExitCode = ExitObjectives
	case regressed:
		s.ExitCode = ExitRegression
	}
	s.Passed = s.ExitCode == 0
}

// compare compares the figures with a baseline's.
func (s *Summary) compare(baseline *Summary, tolerances Tolerances) {
	if s.Machine != baseline.Machine || s.Profile != baseline.Profile {
		s.Regression = []Check{{
			Name:   "the baseline is of the same profile and machine",
			Limit:  describe(baseline.Profile, baseline.Machine),
			Value:  describe(s.Profile, s.Machine),
			Passed: false,
		}}
		return
	}

	was, is := baseline.Figures, s.Figures
	slowest := was.Throughput * (1 - tolerances.Throughput)
	s.Regression = []Check{{
		Name:   "answers per second",
		Limit:  "≥ " + formatNumber(slowest),
		Value:  formatNumber(is.Throughput),
		Passed: is.Throughput >= slowest,
	}}

	for _, latency := range []struct {
		name    string
		was, is float64
	}{{"p50", was.P50, is.P50}, {"p95", was.P95, is.P95}, {"p99", was.P99, is.P99}} {
		longest := latency.was * (1 + tolerances.Latency)
		s.Regression = append(s.Regression, Check{
			Name:   latency.name,
			Limit:  "≤ " + formatMS(longest),
			Value:  formatMS(latency.is),
			Passed: latency.is <= longest,
		})
	}
}

// describe returns a profile and a machine in words, for the check that they are those of
// the baseline.
func describe(profile string, m Machine) string {
	return fmt.Sprintf("%s on %s/%s, %d × %s", profile, m.OS, m.Arch, m.Processors, cmp.Or(m.Processor, "unknown"))
}

// medians returns the median of each figure over the runs. With an even number of runs it is
// the mean of the two in the middle.
func medians(runs []*RunResult) (f Figures) {
	median := func(figure func(Figures) float64) float64 {
		values := make([]float64, len(runs))
		for i, run := range runs {
			values[i] = figure(run.Figures)
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}

	f.Throughput = median(func(f Figures) float64 { return f.Throughput })
	f.P50 = median(func(f Figures) float64 { return f.P50 })
	f.P95 = median(func(f Figures) float64 { return f.P95 })
	f.P99 = median(func(f Figures) float64 { return f.P99 })
	f.P999 = median(func(f Figures) float64 { return f.P999 })
	f.Max = median(func(f Figures) float64 { return f.Max })
	return f
}

// percentile returns the value that a share q of the values does not exceed, by nearest
// rank; 0 where there are no values. It sorts them.
func percentile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

// readBaseline reads the summary of an earlier test. A file without figures is an error.
func readBaseline(path string) (*Summary, error) {
	content, err := os.ReadFile(path) //nolint:gosec // The operator says which.
	if err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}

	var s Summary
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("the baseline %s: %w", path, err)
	}
	if s.Figures.Throughput == 0 {
		return nil, fmt.Errorf("the baseline %s is not the summary of a load test", path)
	}
	return &s, nil
}

// write writes the report: report.html, summary.json and junit.xml.
func (s *Summary) write(directory string) error {
	for name, encode := range map[string]func() ([]byte, error){
		"summary.json": s.json,
		"junit.xml":    s.junit,
		"report.html":  s.page,
	} {
		content, err := encode()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		err = os.WriteFile(filepath.Join(directory, name), content, 0o600)
		if err != nil {
			return err
		}
	}
	return nil
}

// save writes the summary as the baseline of later tests.
func (s *Summary) save(path string) error {
	content, err := s.json()
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func (s *Summary) json() ([]byte, error) {
	content, err := json.MarshalIndent(s, "", "  ")
	return append(content, '\n'), err
}

// formatNumber formats a value with three significant digits, or with all of the integer
// part where that has more.
func formatNumber(value float64) string {
	switch {
	case value >= 100:
		return strconv.FormatFloat(value, 'f', 0, 64)
	case value >= 10:
		return strconv.FormatFloat(value, 'f', 1, 64)
	}
	return strconv.FormatFloat(value, 'g', 3, 64)
}

func formatMS(ms float64) string { return formatNumber(ms) + " ms" }
