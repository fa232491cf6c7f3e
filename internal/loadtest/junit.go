package loadtest

import (
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

	for i, run := range s.Runs {
		part := ""
		if len(s.Runs) > 1 {
			part = fmt.Sprintf(" of run %d", i+1)
		}
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

// check returns the correctness as one check: any difference fails it.
func (c *Correctness) check() Check {
	return Check{
		Name:   "every acknowledged write is there once, and the money adds up",
		Limit:  "no difference",
		Value:  fmt.Sprintf("%d differences in %d entries of %d journals", c.DifferenceCount, c.Entries, c.Journals),
		Passed: c.Passed,
	}
}
