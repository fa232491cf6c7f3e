package loadtest

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"strings"
)

// The part of the JUnit format that pipelines read: a suite for each part of the verdict,
// a case for each check.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit returns the verdict as JUnit XML. Its failures are the checks that did not pass.
func (s *Summary) junit() ([]byte, error) {
	suites := junitSuites{Name: "escrowgrid loadtest " + s.Profile}
	add := func(name string, checks []Check) {
		suite := junitSuite{Name: name, Tests: len(checks)}
		for _, check := range checks {
			testCase := junitCase{Name: check.Name, Class: "loadtest." + s.Profile}
			if !check.Passed {
				suite.Failures++
				testCase.Failure = &junitFailure{Message: fmt.Sprintf("%s, want %s", check.Value, check.Limit)}
			}
			suite.Cases = append(suite.Cases, testCase)
		}
		suites.Suites = append(suites.Suites, suite)
	}

	if len(s.Problems) > 0 {
		add("runs", []Check{finished(s.Problems)})
	}
	for i, run := range s.Runs {
		part := ""
		if len(s.Runs) > 1 {
			part = fmt.Sprintf(" of run %d", i+1)
		}
		add("run"+part, []Check{finished(run.Problems)})
		add("objectives"+part, run.Objectives)
		add("resources"+part, run.Resources)
		add("correctness"+part, []Check{run.Correctness.check()})
		if last := &suites.Suites[len(suites.Suites)-1].Cases[0]; last.Failure != nil {
			last.Failure.Text = strings.Join(run.Correctness.Differences, "\n")
		}
	}
	if s.Regression != nil {
		add("regression", s.Regression)
	}

	content, err := xml.MarshalIndent(suites, "", "  ")
	return append([]byte(xml.Header), append(content, '\n')...), err
}

// finished returns as a check that nothing kept a run from its end.
func finished(problems []string) Check {
	return Check{
		Name:   "the test was carried out to its end",
		Limit:  "no problem",
		Value:  cmp.Or(strings.Join(problems, "; "), "no problem"),
		Passed: len(problems) == 0,
	}
}

// check returns the correctness as one check: any difference fails it, and so does not to know.
func (c *Correctness) check() Check {
	check := Check{
		Name:   "every acknowledged write is there once, and the money adds up",
		Limit:  "no difference",
		Value:  fmt.Sprintf("%d differences in %d entries of %d journals", c.DifferenceCount, c.Entries, c.Journals),
		Passed: c.Passed,
	}
	if c.NotEstablished != "" {
		check.Value = "not established: " + c.NotEstablished
	}
	return check
}
