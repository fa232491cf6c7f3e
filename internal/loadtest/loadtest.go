// Package loadtest runs a load profile with k6 against a server and judges the
// outcome: whether the service objectives were met; whether every acknowledged
// write is there once and the money adds up; how much of the machine it took; and
// whether it has become slower than an earlier run.
package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Config says what to run, and against what.
type Config struct {
	// Profile is one of Profiles.
	Profile string
	// Variables are those of the scripts, such as VUS, as NAME=VALUE.
	Variables []string
	// Executable is the program that a private server is started from, with the
	// database of Database: "" is an SQLite file that goes with the server.
	Executable, Database string
	// Target is the URL of a server that runs already; the root key makes an
	// institution for the test, and sends none of the load.
	Target, RootKey string
	// Repeat is how often the profile is run; the figures are medians.
	Repeat int
	// Baseline is the summary.json of an earlier run to compare with, SaveBaseline
	// where to put this one if it passes.
	Baseline, SaveBaseline string
	Tolerances             Tolerances
	// Directory takes the report.
	Directory string
	// Keep leaves the private server's data, and the key of a target.
	Keep bool
	// K6 is the k6 program; "" takes the one on PATH, or builds the pinned one.
	K6 string
	// PrometheusURL is where k6 writes to as it measures, by Prometheus' remote-write
	// protocol, with the id of the run as the label testid; "" is nowhere.
	PrometheusURL string
	// Progress takes what is said on the way, line by line.
	Progress io.Writer
}

// The exit codes of a verdict. Of several the first counts, in this order.
const (
	ExitIncorrect  = 98 // acknowledged writes are lost or doubled, or money is
	ExitObjectives = 99 // a service objective was missed; also k6's own code for it
	ExitRegression = 97 // slower than the baseline
)

// Profile is a script with what it needs.
type Profile struct {
	Name, Does string
	// saturates says that the profile looks for the limit, so that using all of the
	// machine is no failure.
	saturates bool
	// asOperator says that the script makes institutions, with the root key of a
	// private server.
	asOperator bool
	// institutions is how many institutions the load is spread over; 0 is one.
	institutions int
}

// Profiles lists the load profiles.
func Profiles() []Profile {
	return []Profile{
		{Name: "smoke", Does: "a few seconds, for each commit"},
		{Name: "positions-k6", Does: "up to 50 clients that create and fund with a pause, for two minutes"},
		{Name: "load", Does: "the everyday rate, at a steady arrival"},
		{Name: "stress", Does: "above the everyday rate, in steps", saturates: true},
		{Name: "spike", Does: "many times the everyday rate, suddenly and for a short time", saturates: true},
		{Name: "soak", Does: "the everyday rate for hours"},
		{Name: "breakpoint", Does: "a rate that rises until an objective breaks: the knee", saturates: true},
		{Name: "mixed", Does: "creating, funding, reading and listing in the shares of everyday work"},
		{Name: "lifecycle", Does: "every state, partial releases, retainage, expiry, refused steps"},
		{Name: "templates-and-assets", Does: "new templates and assets"},
		{Name: "institutions", Does: "new institutions and keys, with the root key of the private server", asOperator: true},
		{Name: "hot-institution", Does: "all load on one institution", saturates: true},
		{Name: "many-institutions", Does: "the same load on many institutions", saturates: true, institutions: 20},
	}
}

func profileNamed(name string) (Profile, error) {
	profiles := Profiles()
	if i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name }); i >= 0 {
		return profiles[i], nil
	}
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return Profile{}, fmt.Errorf("profile %q is none of %s", name, strings.Join(names, ", "))
}

// Run runs the profile, writes the report and returns the verdict. An error means
// that there is none: the test could not be carried out.
func Run(ctx context.Context, config Config) (_ *Summary, err error) {
	profile, err := profileNamed(config.Profile)
	if err != nil {
		return nil, err
	}
	if profile.asOperator && config.Target != "" {
		return nil, fmt.Errorf("profile %s sends its load with the root key, which is done to a private server only", profile.Name)
	}
	var baseline *Summary
	if config.Baseline != "" {
		if baseline, err = readSummary(config.Baseline); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(config.Directory, 0o750); err != nil {
		return nil, err
	}
	path, err := findK6(ctx, config.K6, config.Progress)
	if err != nil {
		return nil, err
	}
	tool := k6{path, config.PrometheusURL}
	summary := &Summary{
		Profile: profile.Name, StartedAt: time.Now().UTC().Truncate(time.Millisecond), Machine: thisMachine(), Variables: config.Variables,
	}
	for i := range max(config.Repeat, 1) {
		directory := config.Directory
		if config.Repeat > 1 {
			directory = filepath.Join(directory, fmt.Sprintf("run-%d", i+1))
			fmt.Fprintf(config.Progress, "run %d of %d\n", i+1, config.Repeat)
		}
		run, err := runOnce(ctx, config, profile, tool, directory)
		if err != nil {
			return nil, err
		}
		summary.Runs = append(summary.Runs, run)
	}
	summary.judge(profile, baseline, config.Tolerances)
	if err := summary.write(config.Directory); err != nil {
		return nil, err
	}
	if !summary.Passed || config.SaveBaseline == "" {
		return summary, nil
	}
	err = summary.save(config.SaveBaseline)
	return summary, err
}

// runOnce runs the profile once, on a server and an institution of its own.
func runOnce(ctx context.Context, config Config, profile Profile, tool k6, directory string) (_ *RunResult, err error) {
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return nil, err
	}
	server, err := openServer(ctx, config, profile, directory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	runID := "lt" + time.Now().UTC().Format("0102-150405.000")
	tenants, err := server.MakeTenants(ctx, runID, max(profile.institutions, 1))
	if err != nil {
		return nil, err
	}
	if !config.Keep {
		// Also when the test was broken off.
		defer func() { err = errors.Join(err, server.RevokeKeys(context.WithoutCancel(ctx), tenants)) }()
	}
	sampler := startSampler(ctx, server)
	operations := newOperations(config.Progress)
	begun := time.Now()
	outcome, err := tool.run(ctx, profile, config.Variables, server, tenants, runID, filepath.Join(directory, "k6"), operations)
	result := &RunResult{
		RunID: runID, StartedAt: begun.UTC().Truncate(time.Millisecond), Duration: time.Since(begun),
		Server:    ServerInfo{URL: server.URL, Version: server.Version, Store: server.Store, Private: server.Private()},
		resources: sampler.stop(),
	}
	if err != nil {
		return nil, err
	}
	operations.finish()
	result.takeOperations(operations)
	if result.Objectives, result.Breakpoint, err = outcome.read(); err != nil {
		return nil, err
	}
	fmt.Fprintf(config.Progress, "reading back what %d acknowledged operations left\n", operations.acknowledged())
	if result.Correctness, err = verify(ctx, server, tenants, operations); err != nil {
		return nil, fmt.Errorf("what the run left could not be read back: %w", err)
	}
	return result, nil
}

// openServer starts a private server, or looks for the target.
func openServer(ctx context.Context, config Config, profile Profile, directory string) (*testbed.Server, error) {
	if config.Target != "" {
		return testbed.Attach(ctx, config.Target, config.RootKey)
	}
	return testbed.Start(ctx, testbed.Options{
		Executable: config.Executable, Database: config.Database, Keep: config.Keep, Progress: config.Progress,
		Environment: []string{"RATE_LIMIT_ENABLED=" + strconv.FormatBool(!profile.asOperator)},
		Log:         filepath.Join(directory, "server.log"),
	})
}
