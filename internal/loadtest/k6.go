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

// k6 is the load generator, a program by its path.
type k6 struct {
	path string
	// prometheusURL is where it sends what it measures, as it measures it; "" is nowhere.
	prometheusURL string
}

// findK6 returns the path of the k6 that is named, or of the one on PATH, or of the
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

// outcome is what a run of k6 came to.
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

// run runs a profile's script. Its operations log is read as it is written; the
// rest of what it says goes to k6.log, beside what it leaves in a directory.
func (tool k6) run(
	ctx context.Context, profile Profile, variables []string, s *testbed.Server, tenants []testbed.Tenant, runID, directory string, operations *operations,
) (_ outcome, err error) {
	if directory, err = filepath.Abs(directory); err != nil {
		return outcome{}, err
	}
	if err := os.MkdirAll(directory, 0o750); err != nil {
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
	log, err := os.Create(filepath.Join(directory, "k6.log")) //nolint:gosec // The operator says where.
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	institutions, err := json.Marshal(tenants) //nolint:gosec // k6 sends its load with these keys.
	if err != nil {
		return outcome{}, err
	}
	args := []string{"run", "--quiet", "--no-color", "--log-output=stderr", "--log-format=raw"}
	if tool.prometheusURL != "" {
		args = append(args, "--out=experimental-prometheus-rw", "--tag=testid="+runID)
	}
	args = append(args, filepath.Join(scripts, profile.Name+".js"))
	command := exec.Command(tool.path, args...) //nolint:gosec,noctx // Interrupted below.
	// Through the environment, where no other user of the machine can read the keys.
	command.Env = append(os.Environ(), "K6_AUTO_EXTENSION_RESOLUTION=false", "K6_NO_USAGE_REPORT=true",
		"API_URL="+s.URL, "API_KEY="+tenants[0].APIKey, "ASSET_ID="+tenants[0].AssetID, "INSTITUTIONS="+string(institutions),
		"RUN_ID="+runID, "OUT_DIR="+directory, "OPERATIONS_LOG=true")
	if tool.prometheusURL != "" {
		command.Env = append(command.Env, "K6_PROMETHEUS_RW_SERVER_URL="+tool.prometheusURL, "K6_PROMETHEUS_RW_TREND_STATS=avg,p(50),p(95),p(99),max",
			"K6_PROMETHEUS_RW_STALE_MARKERS=true") // The series of a run end with it.
	}
	if profile.asOperator {
		command.Env = append(command.Env, "ROOT_API_KEY="+s.RootKey)
	}
	command.Env = append(command.Env, variables...)
	command.Stdout = log
	said, stderr, err := os.Pipe()
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = said.Close() }() // It was only read.
	command.Stderr = stderr
	ended, err := subprocess.Start(command, syscall.SIGINT)
	if err != nil {
		return outcome{}, err
	}
	_ = stderr.Close() // k6 has its own.
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGINT) })
	defer stop()
	result := outcome{directory: directory}
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if !operations.take(line) {
			fmt.Fprintln(log, line)
			if text := strings.TrimSpace(line); text != "" {
				result.lastLine = text
			}
		}
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(log, said) // k6 must not wait for a reader.
	}
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
	return outcome{}, fmt.Errorf("k6 ended with exit code %d: %s; its log is %s", result.code, result.lastLine, log.Name())
}

// Breakpoint is what a rate that rises in steps has shown.
type Breakpoint struct {
	// Knee is the highest rate, in iterations a second, of a step before an objective
	// was missed; 0 where that was so in the first.
	Knee  float64 `json:"knee"`
	Steps []Step  `json:"steps"`
}

// Step is one rate of a breakpoint run; its latencies are in milliseconds.
type Step struct {
	Rate            float64 `json:"rate"`
	OK              bool    `json:"ok"`
	Reached         bool    `json:"reached"`
	FundedPerSecond float64 `json:"fundedPerSecond"`
	P95             float64 `json:"p95"`
	P99             float64 `json:"p99"`
}

// read reads what the script's summary says: its objectives with their values, and
// for a breakpoint run the steps. Such a run is to miss objectives in the end, so
// those of its steps are judged together, as the knee.
func (o outcome) read() ([]Check, *Breakpoint, error) {
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
			Name: "the knee: iterations a second within the objectives", Limit: "> 0", Value: formatNumber(b.Knee), Passed: b.Knee > 0,
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
