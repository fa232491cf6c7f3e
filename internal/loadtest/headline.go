package loadtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// headline says in a sentence or two what came of a test: how fast the server was, or what was
// wrong, and what is known of the acknowledged writes.
func (s *Summary) headline() string {
	if s.Passed {
		return s.speed() + "; " + s.kept() + "."
	}

	var reason string
	switch s.ExitCode {
	case ExitIncorrect:
		return fmt.Sprintf("%s between what was acknowledged and what is there.", plural(s.differenceCount(), "difference"))
	case ExitRegression:
		reason = s.regression()
	case ExitObjectives:
		var checks []Check
		for _, run := range s.Runs {
			checks = slices.Concat(checks, run.Objectives, run.Resources)
		}
		reason = s.missed("objective is missed", "objectives are missed", checks)
		if b := s.Runs[0].Breakpoint; b != nil && b.Knee == 0 && len(b.Steps) > 0 {
			reason = fmt.Sprintf("even the first step, %s iterations/s, misses an objective", formatNumber(b.Steps[0].Rate))
		}
	default:
		reason = s.problem()
	}
	return reason + "; " + s.kept() + "."
}

// speed says how much load the server carried, in the unit of the profile.
func (s *Summary) speed() string {
	what := formatNumber(s.Figures.Throughput) + " answers/s"
	if pairs := s.pairsPerSecond(); pairs > 0 {
		what = formatNumber(pairs) + " pairs/s"
	}
	text := fmt.Sprintf("%s at p99 %s", what, formatMS(s.Figures.P99))
	if b := s.Runs[0].Breakpoint; b != nil {
		return fmt.Sprintf("the knee is at %s iterations/s, with %s", formatNumber(b.Knee), text)
	}
	return text
}

// pairsPerSecond returns the median over the runs.
func (s *Summary) pairsPerSecond() float64 {
	return median(s.Runs, func(r *RunResult) float64 { return r.PairsPerSecond })
}

// kept says what is known of the acknowledged writes.
func (s *Summary) kept() string {
	acknowledged, established := 0, true
	for _, run := range s.Runs {
		acknowledged += run.Correctness.Acknowledged
		established = established && run.Correctness.NotEstablished == ""
	}

	switch {
	case acknowledged == 0:
		return "nothing was acknowledged"
	case !established:
		return fmt.Sprintf("whether %s there exactly once is not established", acknowledgedWrites(acknowledged))
	}
	return acknowledgedWrites(acknowledged) + " there exactly once"
}

func acknowledgedWrites(n int) string {
	if n == 1 {
		return "the one acknowledged write is"
	}
	return grouped(n) + " acknowledged writes are"
}

func (s *Summary) differenceCount() (count int) {
	for _, run := range s.Runs {
		count += run.Correctness.DifferenceCount
	}
	return count
}

// problem returns the first thing that kept the test from being carried out as planned.
func (s *Summary) problem() string {
	problems := s.Problems
	for _, run := range s.Runs {
		problems = append(slices.Clone(problems), run.Problems...)
		if run.Correctness.NotEstablished != "" {
			problems = append(problems, run.Correctness.NotEstablished)
		}
	}
	if len(problems) == 0 {
		return "the test was not carried out"
	}
	return problems[0]
}

// regression says in what the test is worse than its baseline, or why the two are not compared.
func (s *Summary) regression() string {
	first := s.Regression[slices.IndexFunc(s.Regression, isMissed)]
	if first.Change == notCompared {
		return fmt.Sprintf("not comparable with the baseline, %s there: %s; here: %s", first.Name, first.Was, first.Value)
	}
	checks := slices.Clone(s.Regression)
	for i := range checks {
		checks[i].Value += " (" + checks[i].Change + ")"
	}
	return s.missed("figure is worse than the baseline's", "figures are worse than the baseline's", checks)
}

// missed says how many checks are missed, and the first of them with its figures.
func (s *Summary) missed(one, many string, checks []Check) string {
	i := slices.IndexFunc(checks, isMissed)
	first := fmt.Sprintf("%s: %s, has to be %s", checks[i].Name, checks[i].Value, checks[i].Limit)
	count := 0
	for _, check := range checks {
		if !check.Passed {
			count++
		}
	}
	if count == 1 {
		return fmt.Sprintf("one %s: %s", one, first)
	}
	return fmt.Sprintf("%d %s, first %s", count, many, first)
}

// plural formats a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// grouped formats a number with a comma between thousands.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	var groups []string
	for len(digits) > 3 && n >= 0 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	slices.Reverse(groups)
	return strings.Join(append([]string{digits}, groups...), ",")
}
