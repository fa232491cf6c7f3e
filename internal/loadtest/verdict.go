package loadtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Tolerances are how much worse than the baseline a run may be, as shares: 0.1 is 10 %.
type Tolerances struct{ Throughput, Latency float64 }

// judge reaches the verdict. The baseline may be nil.
func (s *Summary) judge(profile Profile, baseline *Summary, tolerances Tolerances) {
	objectives, correct, established, finished := true, true, true, len(s.Problems) == 0
	for _, run := range s.Runs {
		run.judgeResources(profile.saturates, s.Machine, s.Variables)
		for _, check := range slices.Concat(run.Objectives, run.Resources) {
			objectives = objectives && check.Passed
		}
		correct = correct && run.Correctness.DifferenceCount == 0
		established = established && run.Correctness.NotEstablished == ""
		finished = finished && len(run.Problems) == 0
	}

	s.Figures = medians(s.Runs)
	if baseline != nil {
		s.compare(baseline, tolerances)
	}
	regressed := slices.ContainsFunc(s.Regression, isMissed)

	// Lost money matters more than not to know of it, and that more than a missed objective.
	switch {
	case !correct:
		s.ExitCode = ExitIncorrect
	case s.Interrupted:
		s.ExitCode = ExitUnfinished
	case !established:
		s.ExitCode = ExitNotEstablished
	case !finished:
		s.ExitCode = ExitUnfinished
	case !objectives:
		s.ExitCode = ExitObjectives
	case regressed:
		s.ExitCode = ExitRegression
	}
	s.Passed = s.ExitCode == 0
	s.Headline = s.headline()
}

func isMissed(c Check) bool { return !c.Passed }

// compare compares the figures with a baseline's, if both are of the same load on the same kind
// of machine, server and database. What differs is named instead.
func (s *Summary) compare(baseline *Summary, tolerances Tolerances) {
	s.Baseline = &BaselineInfo{StartedAt: baseline.StartedAt}
	if len(baseline.Runs) > 0 {
		s.Baseline.RunID, s.Baseline.Version = baseline.Runs[0].RunID, baseline.Runs[0].Server.Version
	}
	if s.Regression = s.differences(baseline); len(s.Regression) > 0 {
		return
	}

	was, is := baseline.Figures, s.Figures
	slowest := was.Throughput * (1 - tolerances.Throughput)
	s.Regression = []Check{{
		Name:   "answers per second",
		Was:    formatNumber(was.Throughput) + "/s",
		Limit:  "≥ " + formatNumber(slowest) + "/s",
		Value:  formatNumber(is.Throughput) + "/s",
		Change: formatChange(was.Throughput, is.Throughput),
		Passed: is.Throughput >= slowest,
	}}

	for _, latency := range []struct {
		name    string
		was, is float64
	}{{"p50", was.P50, is.P50}, {"p95", was.P95, is.P95}, {"p99", was.P99, is.P99}} {
		longest := latency.was * (1 + tolerances.Latency)
		s.Regression = append(s.Regression, Check{
			Name:   latency.name,
			Was:    formatMS(latency.was),
			Limit:  "≤ " + formatMS(longest),
			Value:  formatMS(latency.is),
			Change: formatChange(latency.was, latency.is),
			Passed: latency.is <= longest,
		})
	}
}

// formatChange formats by how much a figure has changed, like +12.5 %.
func formatChange(was, is float64) string {
	if was == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", 100*(is/was-1))
}

// notCompared stands where a baseline that differs in more than speed has no change.
const notCompared = "not compared"

// differences returns a missed check for each thing other than speed in which a baseline
// differs.
func (s *Summary) differences(baseline *Summary) (checks []Check) {
	for _, same := range []struct{ name, was, is string }{
		{"profile", baseline.Profile, s.Profile},
		{"variables", sorted(baseline.Variables), sorted(s.Variables)},
		{"database", baseline.store(), s.store()},
		{"k6", baseline.K6, s.K6},
		{"machine", baseline.Machine.model(), s.Machine.model()},
		{"processors of the machine", fmt.Sprint(baseline.Machine.Processors), fmt.Sprint(s.Machine.Processors)},
		{"processors of the server", baseline.serverProcessors(), s.serverProcessors()},
	} {
		if same.was != same.is {
			checks = append(checks, Check{
				Name:   same.name,
				Was:    cmp.Or(same.was, "none"),
				Limit:  "the same",
				Value:  cmp.Or(same.is, "none"),
				Change: notCompared,
			})
		}
	}
	return checks
}

// sorted returns variables as one text, whatever their order.
func sorted(variables []string) string {
	return strings.Join(slices.Sorted(slices.Values(variables)), " ")
}

func (m Machine) model() string {
	return fmt.Sprintf("%s, %s/%s", cmp.Or(m.Processor, "unknown processor"), m.OS, m.Arch)
}

// store says what database was tested, and whether on a server of the test's own.
func (s *Summary) store() string {
	if len(s.Runs) == 0 {
		return ""
	}
	server := s.Runs[0].Server
	if server.Private {
		return server.Store + " of a private server"
	}
	return server.Store + " of " + server.URL
}

func (s *Summary) serverProcessors() string {
	if len(s.Runs) == 0 || len(s.Runs[0].Samples) == 0 {
		return ""
	}
	return fmt.Sprint(s.Runs[0].Samples[0].Processors)
}
