package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/loadtest"
	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// loadTestCommand sends load to a server and judges the result. The values of k6's scripts are
// texts here, because the scripts check them.
type loadTestCommand struct {
	// What to send. A flag of the second group replaces one value of the profile.
	Profile string `default:"smoke" help:"The load to send. ${profiles}."`

	VUs       string   `name:"vus" help:"Virtual users, instead of the profile's."`
	Duration  string   `help:"The length of the load, like 5m, instead of the profile's."`
	Stages    string   `help:"Stages of the load, like 1m:20,2m:100,30s:0, instead of the profile's."`
	Rate      string   `help:"Iterations per second, instead of the profile's."`
	ThinkTime string   `help:"The pause of a virtual user between two iterations, like 1s."`
	Set       []string `sep:"none" placeholder:"NAME=VALUE" help:"Another variable of the scripts, like MAX_P95_MS=200; docs/load-testing.md lists them."`

	// What to test: by default, a private server that ends with the test.
	Database  string `help:"Test a private server on this PostgreSQL database, instead of one on an SQLite file of its own."`
	Target    string `placeholder:"URL" help:"Test a server that is already running, instead of a private one. Needs the root key."`
	RootKey   string `env:"ROOT_API_KEY" name:"root-api-key" secret:"" help:"The target's root key, which creates an institution for the test; it sends none of the load."`
	OwnTarget bool   `name:"i-own-this-target" help:"Allow a target that is not on this machine."`
	Insecure  bool   `name:"insecure-http" help:"Allow an http URL of a target that is not on this machine: whoever is on the way can read its keys."`

	// How to run and judge it.
	Report       string  `default:"loadtest-report" placeholder:"DIR" help:"Where report.html, summary.json and junit.xml go; loadtest-report when left out."`
	Repeat       int     `default:"1" help:"How many times to run; the medians count, because machines are noisy."`
	Baseline     string  `placeholder:"FILE" help:"The summary.json of an earlier run on this machine; fail when this run is slower."`
	SaveBaseline string  `placeholder:"FILE" help:"Keep this run's summary.json as a baseline, if it passes."`
	Slower       float64 `name:"throughput-tolerance" default:"10" placeholder:"PERCENT" help:"How many fewer answers per second than the baseline are tolerated; 10 when left out."`
	Later        float64 `name:"latency-tolerance" default:"25" placeholder:"PERCENT" help:"How much longer than in the baseline answers may take; 25 when left out."`
	Keep         bool    `help:"Keep the private server's database; on a target, the test's institution with its data and key, which are otherwise ended, erased and closed."`
	K6           string  `name:"k6" placeholder:"PROGRAM" help:"The k6 to run, instead of the one on PATH or the pinned one that Go builds."`

	PrometheusURL string `name:"prometheus-url" placeholder:"URL" help:"Have k6 write its measurements to this Prometheus as it runs, like http://localhost:9090/api/v1/write."`
}

// Help explains the command below its flags' list.
func (*loadTestCommand) Help() string {
	return `Starts a private server, creates an institution for the test, sends load with k6, reads everything back, and judges:
were the objectives met, is every acknowledged write there exactly once, how much of the machine did it take, is it
slower than before. The report is a folder that needs no server. A target is cleaned up afterwards: what is open is cancelled,
the test's institution closed, its data erased and its key revoked.

  escrowgrid loadtest                                     a few seconds
  escrowgrid loadtest --profile load --duration 5m        the everyday rate
  escrowgrid loadtest --profile breakpoint                the load up to which it keeps its objectives
  escrowgrid loadtest --database postgres://… --repeat 3  on PostgreSQL, medians of three
  escrowgrid loadtest --target http://localhost:4000      a server that is already running
  escrowgrid loadtest --prometheus-url http://localhost:9090/api/v1/write
                                                          and watch it on a dashboard

Exit codes: 0 passed; 98 acknowledged writes or money are lost or doubled; 96 it is not known whether they are, because the
server ended or nothing was acknowledged; 1 the test was not carried out to its end, or the target not cleaned up; 99 an objective was missed; 97 slower than
the baseline, or not comparable with it; 2 wrong usage, before anything was made. When several apply, the first of this list
counts. There is a report whenever load was sent.`
}

// verdictError is a load test that was carried out and failed. Its exit code tells pipelines a
// slow server from one that loses writes.
type verdictError struct{ code int }

func (e *verdictError) Error() string { return "the load test failed" }

// Run runs the load test. Its error is a verdictError when the test was carried out and failed.
func (c *loadTestCommand) Run(ctx context.Context, out output) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	config.Progress = out.stderr

	summary, err := loadtest.Run(ctx, config)
	if wrong, ok := errors.AsType[*loadtest.UsageError](err); ok {
		return &usageError{wrong.Error()}
	}
	if err != nil {
		return err
	}

	show(out.stdout, summary, config.Directory)
	if !summary.Passed {
		return &verdictError{summary.ExitCode}
	}
	return nil
}

// config checks the flags and returns them as a configuration. A usageError names the wrong flag.
func (c *loadTestCommand) config() (loadtest.Config, error) {
	if err := cmp.Or(c.checkLoad(), c.checkTarget()); err != nil {
		return loadtest.Config{}, err
	}

	// The private server is this program, started once more.
	executable, err := os.Executable()
	if err != nil {
		return loadtest.Config{}, err
	}
	return loadtest.Config{
		Profile:       c.Profile,
		Variables:     c.variables(),
		Executable:    executable,
		Database:      c.Database,
		Target:        c.Target,
		RootKey:       c.RootKey,
		InsecureHTTP:  c.Insecure,
		Repeat:        c.Repeat,
		Baseline:      c.Baseline,
		SaveBaseline:  c.SaveBaseline,
		Tolerances:    loadtest.Tolerances{Throughput: c.Slower / 100, Latency: c.Later / 100},
		Directory:     c.Report,
		Keep:          c.Keep,
		K6:            c.K6,
		PrometheusURL: c.PrometheusURL,
	}, nil
}

// variables returns the scripts' variables that the flags set, as NAME=VALUE. The profile has the
// others.
func (c *loadTestCommand) variables() (variables []string) {
	for _, variable := range []struct{ name, value string }{
		{"VUS", c.VUs}, {"DURATION", c.Duration}, {"STAGES", c.Stages}, {"RATE", c.Rate}, {"THINK_TIME", c.ThinkTime},
	} {
		if variable.value != "" {
			variables = append(variables, variable.name+"="+variable.value)
		}
	}
	return append(variables, c.Set...)
}

// checkLoad returns a usageError when a flag for the load or the verdict is wrong.
func (c *loadTestCommand) checkLoad() error {
	if !slices.ContainsFunc(loadtest.Profiles(), func(p loadtest.Profile) bool { return p.Name == c.Profile }) {
		return wrongUsage("--profile=%s is not one of %s", c.Profile, strings.Join(profileList(), ", "))
	}
	for _, variable := range c.Set {
		name, value, ok := strings.Cut(variable, "=")
		if !ok || name == "" {
			return wrongUsage("--set=%s must be NAME=VALUE", variable)
		}
		if strings.TrimSpace(value) == "" {
			return wrongUsage("--set=%s is set, but empty: give it a value, or leave it out", variable)
		}
	}

	if c.Repeat < 1 || c.Repeat > 100 {
		return wrongUsage("--repeat=%d must be from 1 to 100", c.Repeat)
	}
	// Throughput can fall by at most 100 %, but latency can grow without bound.
	if c.Slower < 0 || c.Slower > 100 || c.Later < 0 {
		return wrongUsage("tolerances are percentages: " +
			"--throughput-tolerance from 0 to 100, --latency-tolerance from 0")
	}
	return nil
}

// checkTarget returns a usageError when a flag for the tested server or for Prometheus is wrong.
func (c *loadTestCommand) checkTarget() error {
	isPostgres := strings.HasPrefix(c.Database, "postgres://") || strings.HasPrefix(c.Database, "postgresql://")
	if c.Database != "" && !isPostgres {
		return wrongUsage("--database must be a postgres:// URL; without it the test has an SQLite file of its own")
	}
	if c.PrometheusURL != "" && !isWebURL(c.PrometheusURL) {
		return wrongUsage("--prometheus-url=%s must be an http or https URL", c.PrometheusURL)
	}
	if c.Target == "" {
		return nil
	}

	if c.Database != "" {
		return wrongUsage("--target and --database exclude each other: a target has its own database")
	}
	// A typo in the host must not flood somebody else's server.
	target, err := url.Parse(c.Target)
	if err != nil || !isWebURL(c.Target) || target.RawQuery != "" {
		return wrongUsage("--target=%s must be an http or https URL", c.Target)
	}
	if !c.OwnTarget && !apiclient.IsLoopback(target.Hostname()) {
		return wrongUsage("--target=%s is not on this machine: a load test of somebody else's service is an attack; "+
			"confirm with --i-own-this-target", c.Target)
	}
	if !c.Insecure && !apiclient.IsSafe(c.Target) {
		return wrongUsage("--target=%s: its keys would be sent without TLS to another machine: "+
			"give an https URL, or allow it with --insecure-http", c.Target)
	}
	if c.RootKey == "" {
		return wrongUsage("--target takes the target's root key in ROOT_API_KEY: " +
			"it creates an institution for the test")
	}
	return nil
}

// profileList returns the profiles' names.
func profileList() []string {
	var names []string
	for _, p := range loadtest.Profiles() {
		names = append(names, p.Name)
	}
	return names
}

// profileHelp says what each profile does, for the help text. The one list of profiles is beside
// the scripts.
func profileHelp() string {
	var lines []string
	for _, p := range loadtest.Profiles() {
		lines = append(lines, p.Name+": "+p.Does)
	}
	return strings.Join(lines, "; ")
}

// maxShown bounds the differences that show prints; summary.json has more.
const maxShown = 20

// show prints the verdict after the checks that led to it.
func show(out io.Writer, s *loadtest.Summary, directory string) {
	// The titles name the run only when there is more than one.
	for i, run := range s.Runs {
		part := ""
		if len(s.Runs) > 1 {
			part = " of run " + strconv.Itoa(i+1)
		}
		showChecks(out, "Objectives"+part, run.Objectives)
		showChecks(out, "Resources"+part, run.Resources)
		showCorrectness(out, part, run.Correctness)
		if run.Cleanup != nil {
			fmt.Fprintf(out, "\nThe institution on the target%s\n  %s.\n", part, visible.Line(run.Cleanup.String()))
		}
		showProblems(out, run.Problems)
	}
	showChecks(out, "Against the baseline", s.Regression)
	showProblems(out, s.Problems)

	verdict := "passed"
	if !s.Passed {
		verdict = "FAILED"
	}
	// The sentence comes last, where a reader of a long output looks first. It may quote a server.
	fmt.Fprintf(out, "\n%s %s: %s\nThe report is %s/report.html\n",
		s.Profile, verdict, visible.Line(s.Headline), strings.TrimRight(directory, "/"))
}

// showProblems prints what kept a test from being carried out as planned.
func showProblems(out io.Writer, problems []string) {
	for _, problem := range problems {
		fmt.Fprintf(out, "\nPROBLEM  %s\n", visible.Line(problem))
	}
}

// showChecks prints each check on a line, below a title. Without checks it prints nothing.
func showChecks(out io.Writer, title string, checks []loadtest.Check) {
	if len(checks) > 0 {
		fmt.Fprintf(out, "\n%s\n", title)
	}
	for _, check := range checks {
		mark := "met   "
		if !check.Passed {
			mark = "MISSED"
		}
		fmt.Fprintf(out, "  %s  %-58s %14s   (%s)\n", mark, check.Name, check.Value, check.Limit)
	}
}

// showCorrectness prints how what was read back compares with what the server had acknowledged.
func showCorrectness(out io.Writer, part string, c loadtest.Correctness) {
	fmt.Fprintf(out, "\nCorrectness%s\n", part)
	if c.NotEstablished != "" {
		fmt.Fprintf(out, "  NOT ESTABLISHED  %s\n", visible.Line(c.NotEstablished))
	}
	// Where nothing was read back, nobody knows what became of what was not answered.
	if c.NotEstablished != "" && c.Journals == 0 {
		fmt.Fprintf(out, "  %d operations acknowledged, %d refused; nothing was read back.\n",
			c.Acknowledged, c.Refused)
		return
	}
	fmt.Fprintf(out, "  %d operations acknowledged, %d refused; without an answer: %d carried out, %d not.\n",
		c.Acknowledged, c.Refused, c.UnknownDone, c.UnknownNotDone)
	if c.Waiting > 0 {
		fmt.Fprintf(out, "  %d of them were acknowledged as approvals, which waited for others.\n", c.Waiting)
	}
	if cut := c.CutOffDone + c.CutOffNotDone; cut > 0 {
		fmt.Fprintf(out, "  %d were under way when the load ended, and k6 cut them off: %d carried out, %d not.\n",
			cut, c.CutOffDone, c.CutOffNotDone)
	}
	fmt.Fprintf(out, "  Read back: %d entries of %d journals, %d positions; %d differences.\n",
		c.Entries, c.Journals, c.Positions, c.DifferenceCount)

	// One fault can cause thousands of differences.
	for i, difference := range c.Differences {
		if i == maxShown {
			fmt.Fprintf(out, "  … summary.json has more.\n")
			break
		}
		fmt.Fprintf(out, "  DIFFERENCE  %s\n", visible.Line(difference))
	}
}
