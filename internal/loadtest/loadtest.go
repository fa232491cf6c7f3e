// Package loadtest runs a load profile with k6 against a server and judges the outcome:
// whether the service objectives were met, whether every acknowledged write is there
// exactly once and the money adds up, how much of the machine the server used, and
// whether it was slower than in an earlier run.
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

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Config says what to run, and against which server.
type Config struct {
	// Profile is the name of one of Profiles.
	Profile string
	// Variables are the scripts' variables, such as VUS, as NAME=VALUE.
	Variables []string
	// Executable is the path of the program of a private server. Database is the URL of
	// the server's database; "" is a temporary SQLite file.
	Executable, Database string
	// Target is the URL of a server to test instead of a private one. RootKey is its root
	// key, which creates an institution for the test and sends none of the load.
	Target, RootKey string
	// InsecureHTTP allows keys to be sent to a target on another machine without TLS.
	InsecureHTTP bool
	// Repeat is the number of runs of the profile. The figures are their medians.
	Repeat int
	// Baseline is the path of an earlier run's summary.json to compare with. SaveBaseline
	// is the path for this one's summary.json if it passes.
	Baseline, SaveBaseline string
	Tolerances             Tolerances
	// Directory is the directory of the report.
	Directory string
	// Keep keeps the private server's data, and does not revoke the key on a target.
	Keep bool
	// K6 is the path of k6; "" is the one on PATH or, without it, the pinned version, which
	// is built first.
	K6 string
	// PrometheusURL is the remote-write address of a Prometheus to which k6 sends its
	// metrics, with the run's id as the label testid; "" is none.
	PrometheusURL string
	// Progress receives progress messages, one a line.
	Progress io.Writer
}

// The exit codes of a verdict. Where several apply, the first of this list counts.
const (
	ExitIncorrect  = 98 // acknowledged writes are lost or duplicated, or the money does not add up
	ExitObjectives = 99 // a service objective was missed; k6 has the same code for it
	ExitRegression = 97 // slower than the baseline
)

// Profile is a script with its requirements.
type Profile struct {
	Name, Does string
	// saturates says that the profile drives the server to its limit, so that full use of
	// the machine is not a failure.
	saturates bool
	// asOperator says that the script creates institutions, with the root key of a private
	// server.
	asOperator bool
	// institutions is the number of institutions that share the load; 0 is one.
	institutions int
}

// Profiles lists the load profiles.
func Profiles() []Profile {
	return []Profile{
		{Name: "smoke", Does: "a few seconds, for each commit"},
		{Name: "positions-k6", Does: "up to 50 clients that create and fund with a pause, for two minutes"},
		{Name: "load", Does: "the everyday rate, with steady arrivals"},
		{Name: "stress", Does: "above the everyday rate, in steps", saturates: true},
		{Name: "spike", Does: "many times the everyday rate, suddenly and for a short time", saturates: true},
		{Name: "soak", Does: "the everyday rate for hours"},
		{Name: "breakpoint", Does: "a rate that rises until an objective breaks: the knee", saturates: true},
		{Name: "mixed", Does: "creating, funding, reading and listing in the shares of everyday work"},
		{Name: "lifecycle", Does: "every state, partial releases, retainage, expiry, refused transitions"},
		{Name: "templates-and-assets", Does: "new templates and assets"},
		{Name: "institutions", Does: "new institutions and keys, with the root key of the private server", asOperator: true},
		{Name: "hot-institution", Does: "all load on one institution", saturates: true},
		{Name: "many-institutions", Does: "the same load on many institutions", saturates: true, institutions: 20},
	}
}

// profileNamed returns the profile of a name. The error for an unknown name lists the known
// ones.
func profileNamed(name string) (Profile, error) {
	profiles := Profiles()
	if i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name }); i >= 0 {
		return profiles[i], nil
	}

	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return Profile{}, fmt.Errorf("profile %q is not one of %s", name, strings.Join(names, ", "))
}

// Run runs the profile, writes the report and returns the verdict. An error means that
// there is no verdict, because the test could not be carried out.
func Run(ctx context.Context, config Config) (_ *Summary, err error) {
	profile, err := profileNamed(config.Profile)
	if err != nil {
		return nil, err
	}
	if profile.asOperator && config.Target != "" {
		return nil, fmt.Errorf("profile %s sends its load with the root key, which only a private server allows",
			profile.Name)
	}

	var baseline *Summary
	if config.Baseline != "" {
		if baseline, err = readBaseline(config.Baseline); err != nil {
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
	tool := k6{path: path, prometheusURL: config.PrometheusURL}

	summary := &Summary{
		Profile:   profile.Name,
		StartedAt: time.Now().UTC().Truncate(time.Millisecond),
		Machine:   thisMachine(),
		Variables: config.Variables,
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

	// The report of a failed test is written, too: it says why.
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

// runOnce runs the profile once, with an institution of its own and, unless there is a
// target, a server of its own.
func runOnce(
	ctx context.Context, config Config, profile Profile, tool k6, directory string,
) (_ *RunResult, err error) {
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
		// Keys are also revoked when the test was interrupted.
		defer func() { err = errors.Join(err, server.RevokeKeys(context.WithoutCancel(ctx), tenants)) }()
	}

	// The sampler stops before the result is read back, which is not part of the load.
	sampler := startSampler(ctx, server)
	operations := newOperations(config.Progress)
	startedAt := time.Now()
	outcome, err := tool.run(ctx, k6Run{
		id:        runID,
		profile:   profile,
		variables: config.Variables,
		server:    server,
		tenants:   tenants,
		directory: filepath.Join(directory, "k6"),
	}, operations)
	result := &RunResult{
		RunID:     runID,
		StartedAt: startedAt.UTC().Truncate(time.Millisecond),
		Duration:  time.Since(startedAt),
		Server: ServerInfo{
			URL:     server.URL,
			Version: server.Version,
			Store:   server.Store,
			Private: server.Private(),
		},
		resources: sampler.stop(),
	}
	if err != nil {
		return nil, err
	}

	operations.finish()
	result.summarize(operations)
	if result.Objectives, result.Breakpoint, err = outcome.readSummary(); err != nil {
		return nil, err
	}
	fmt.Fprintf(config.Progress, "reading back the results of %d acknowledged operations\n", operations.acknowledged())
	if result.Correctness, err = verify(ctx, server, tenants, operations); err != nil {
		return nil, fmt.Errorf("the results of the run could not be read back: %w", err)
	}
	return result, nil
}

// openServer starts a private server, or attaches to the target.
func openServer(ctx context.Context, config Config, profile Profile, directory string) (*testbed.Server, error) {
	if config.Target != "" {
		client := apiclient.New(strings.TrimRight(config.Target, "/"))
		client.InsecureHTTP = config.InsecureHTTP
		return testbed.Attach(ctx, client, config.RootKey)
	}
	return testbed.Start(ctx, testbed.Options{
		Executable: config.Executable,
		Database:   config.Database,
		Keep:       config.Keep,
		// The limit of the root key would bound a load that is sent with it.
		Environment: []string{"RATE_LIMIT_ENABLED=" + strconv.FormatBool(!profile.asOperator)},
		Log:         filepath.Join(directory, "server.log"),
		Progress:    config.Progress,
	})
}
