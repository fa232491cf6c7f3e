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
	"time"
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
	// Keep keeps the private server's data, and on a target the institution as it is.
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
	ExitIncorrect      = 98 // acknowledged writes are lost or duplicated, or the money does not add up
	ExitNotEstablished = 96 // it is not known whether they are: the server ended, or nothing was acknowledged
	ExitUnfinished     = 1  // the load was not sent to its end, or the test left something behind
	ExitObjectives     = 99 // a service objective was missed; k6 has the same code for it
	ExitRegression     = 97 // slower than the baseline, or not comparable with it
)

// UsageError says which value of a configuration is wrong. Nothing was made by then.
type UsageError struct{ message string }

func (e *UsageError) Error() string { return e.message }

// Run runs the profile, writes the report and returns the verdict. An error means that there is
// no verdict, because no load was sent; a UsageError, that the configuration is wrong.
func Run(ctx context.Context, config Config) (_ *Summary, err error) {
	profile, err := profileNamed(config.Profile)
	if err != nil {
		return nil, &UsageError{err.Error()}
	}
	if profile.asOperator && config.Target != "" {
		return nil, &UsageError{fmt.Sprintf("profile %s sends its load with the root key, which only a private server allows",
			profile.Name)}
	}
	if err := checkVariables(config.Variables); err != nil {
		return nil, err
	}

	var baseline *Summary
	if config.Baseline != "" {
		if baseline, err = readBaseline(config.Baseline); err != nil {
			return nil, &UsageError{err.Error()}
		}
	}
	if err := checkFolderOf(config.SaveBaseline); err != nil {
		return nil, err
	}
	tool, err := openK6(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tool.close()) }()
	plan, err := tool.inspect(ctx, profile)
	if err != nil {
		return nil, err
	}
	tool.tellStripped(config.Progress)

	// From here on the folder is this test's.
	if err := os.MkdirAll(config.Directory, 0o750); err != nil {
		return nil, err
	}
	if err := emptyReport(config.Directory); err != nil {
		return nil, err
	}
	summary := &Summary{
		Profile:   profile.Name,
		StartedAt: time.Now().UTC().Truncate(time.Millisecond),
		Machine:   thisMachine(),
		K6:        tool.version,
		Variables: config.Variables,
		Plan:      plan,
	}
	if err := (&test{config, profile, tool}).runAll(ctx, summary); err != nil {
		return nil, err
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

// checkFolderOf returns a UsageError when a file could not be written once the test is over,
// because its folder does not exist. A path of "" is none.
func checkFolderOf(path string) error {
	if path == "" {
		return nil
	}
	if folder, err := os.Stat(filepath.Dir(path)); err != nil || !folder.IsDir() {
		return &UsageError{fmt.Sprintf("there is no folder for %s", path)}
	}
	return nil
}
