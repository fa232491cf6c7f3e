package loadtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/escrowgrid/escrowgrid/internal/subprocess"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/load"
)

// k6 is the load generator.
type k6 struct {
	path string
	// prometheusURL is the remote-write address to which it sends its metrics; "" is none.
	prometheusURL string
}

// findK6 returns the path of the named k6 or, without a name, of the one on PATH or of the
// pinned version.
func findK6(ctx context.Context, named string, progress io.Writer) (string, error) {
	if named != "" {
		return exec.LookPath(named)
	}
	if path, err := exec.LookPath("k6"); err == nil {
		return path, nil
	}
	return load.PinnedK6(ctx, progress)
}

// k6Run says what k6 runs, and against which server.
type k6Run struct {
	id        string
	profile   Profile
	variables []string
	server    *testbed.Server
	tenants   []testbed.Tenant
	// directory is where k6 leaves its summary and its log, k6.log.
	directory string
}

// outcome is the outcome of a run of k6.
type outcome struct {
	code      int
	lastLine  string
	directory string
}

// The exit codes of k6, from its errext/exitcodes package.
const (
	k6ThresholdsFailed = 99
	k6ScriptException  = 107
	k6ScriptAborted    = 108
)

// run runs a profile's script. It parses the operations log as k6 writes it and copies
// k6's other messages to its log.
func (tool k6) run(ctx context.Context, r k6Run, operations *operations) (_ outcome, err error) {
	if r.directory, err = filepath.Abs(r.directory); err != nil {
		return outcome{}, err
	}
	if err := os.MkdirAll(r.directory, 0o750); err != nil {
		return outcome{}, err
	}
	scripts, err := os.MkdirTemp("", "escrowgrid-scripts-")
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scripts)) }()
	if err := os.CopyFS(scripts, load.Files); err != nil {
		return outcome{}, err
	}
	log, err := os.Create(filepath.Join(r.directory, "k6.log"))
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	command, err := tool.command(r, scripts)
	if err != nil {
		return outcome{}, err
	}
	output, stderr, err := os.Pipe()
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = output.Close() }() // It was only read.
	command.Stdout, command.Stderr = log, stderr
	ended, err := subprocess.Start(command, syscall.SIGINT)
	if err != nil {
		return outcome{}, err
	}
	_ = stderr.Close() // k6 has its own descriptor.
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGINT) })
	defer stop()

	result := outcome{directory: r.directory, lastLine: followLog(output, log, operations)}
	<-ended
	if ctx.Err() != nil {
		return outcome{}, fmt.Errorf("interrupted: %w", ctx.Err())
	}
	switch result.code = command.ProcessState.ExitCode(); result.code {
	case 0, k6ThresholdsFailed:
		return result, nil
	case k6ScriptException, k6ScriptAborted:
		return outcome{}, fmt.Errorf("k6 stopped: %s", result.lastLine)
	}
	return outcome{}, fmt.Errorf("k6 ended with exit code %d: %s; its log is %s",
		result.code, result.lastLine, log.Name())
}

// command returns the command of a run. The API keys are in its environment, where other
// users of the machine cannot read them.
func (tool k6) command(r k6Run, scripts string) (*exec.Cmd, error) {
	institutions, err := json.Marshal(r.tenants) //nolint:gosec // k6 sends its load with these keys.
	if err != nil {
		return nil, err
	}

	args := []string{"run", "--quiet", "--no-color", "--log-output=stderr", "--log-format=raw"}
	if tool.prometheusURL != "" {
		args = append(args, "--out=experimental-prometheus-rw", "--tag=testid="+r.id)
	}
	args = append(args, filepath.Join(scripts, r.profile.Name+".js"))
	command := exec.Command(tool.path, args...) //nolint:gosec,noctx // run interrupts it.

	command.Env = append(os.Environ(),
		"K6_AUTO_EXTENSION_RESOLUTION=false",
		"K6_NO_USAGE_REPORT=true",
		"API_URL="+r.server.URL,
		"API_KEY="+r.tenants[0].APIKey,
		"ASSET_ID="+r.tenants[0].AssetID,
		"INSTITUTIONS="+string(institutions),
		"RUN_ID="+r.id,
		"OUT_DIR="+r.directory,
		"OPERATIONS_LOG=true")
	if tool.prometheusURL != "" {
		command.Env = append(command.Env,
			"K6_PROMETHEUS_RW_SERVER_URL="+tool.prometheusURL,
			"K6_PROMETHEUS_RW_TREND_STATS=avg,p(50),p(95),p(99),max",
			"K6_PROMETHEUS_RW_STALE_MARKERS=true") // A run's series end with the run.
	}
	if r.profile.asOperator {
		command.Env = append(command.Env, "ROOT_API_KEY="+r.server.RootKey)
	}
	command.Env = append(command.Env, r.variables...)
	return command, nil
}

// followLog adds the lines of the operations log to operations, copies the others to k6's
// log, and returns the last of these that is not blank.
func followLog(output io.Reader, log io.Writer, operations *operations) (lastLine string) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if operations.addLine(line) {
			continue
		}
		fmt.Fprintln(log, line)
		if text := strings.TrimSpace(line); text != "" {
			lastLine = text
		}
	}

	// After a line that is too long k6 must not wait for a reader.
	if lines.Err() != nil {
		_, _ = io.Copy(log, output)
	}
	return lastLine
}

// Breakpoint is the result of a run whose rate rises in steps.
type Breakpoint struct {
	// Knee is the rate, in iterations per second, of the last step before an objective was
	// missed; 0 where the first step missed one.
	Knee  float64 `json:"knee"`
	Steps []Step  `json:"steps"`
}

// Step is one step of a breakpoint run. Rate is in iterations per second; P95 and P99 are
// in milliseconds.
type Step struct {
	Rate            float64 `json:"rate"`
	OK              bool    `json:"ok"`
	Reached         bool    `json:"reached"`
	FundedPerSecond float64 `json:"fundedPerSecond"`
	P95             float64 `json:"p95"`
	P99             float64 `json:"p99"`
}

// readSummary returns the objectives of the script's summary with their values and, for a
// breakpoint run, its steps. Such a run misses objectives in the end by design, so its
// steps are judged by the knee alone.
func (o outcome) readSummary() ([]Check, *Breakpoint, error) {
	path := filepath.Join(o.directory, "summary.json")
	content, err := os.ReadFile(path) //nolint:gosec // In our own report.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("k6 left no summary: %s", o.lastLine)
	}
	if err != nil {
		return nil, nil, err
	}

	var summary struct {
		Objectives []struct {
			Name, Metric, Threshold string
			OK                      bool
			Value                   *float64
		}
		Breakpoint *Breakpoint
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}

	var checks []Check
	if b := summary.Breakpoint; b != nil {
		checks = []Check{{
			Name:   "the knee: iterations per second within the objectives",
			Limit:  "> 0",
			Value:  formatNumber(b.Knee),
			Passed: b.Knee > 0,
		}}
	}
	for _, objective := range summary.Objectives {
		if summary.Breakpoint != nil && strings.Contains(objective.Metric, "scenario:step_") {
			continue
		}
		check := Check{Name: objective.Name, Limit: objective.Threshold, Passed: objective.OK}
		if objective.Value != nil {
			check.Value = formatNumber(*objective.Value)
		}
		checks = append(checks, check)
	}

	if len(checks) == 0 {
		return nil, nil, fmt.Errorf("%s has no objectives", path)
	}
	return checks, summary.Breakpoint, nil
}
