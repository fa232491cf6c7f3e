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
	"github.com/escrowgrid/escrowgrid/load"
)

// k6 is the load generator, a program by its path.
type k6 string

// findK6 returns the k6 that is named, or the one on PATH, or the pinned version.
func findK6(ctx context.Context, named string, progress io.Writer) (k6, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		return k6(path), err
	}
	if path, err := exec.LookPath("k6"); err == nil {
		return k6(path), nil
	}
	path, err := load.PinnedK6(ctx, progress)
	return k6(path), err
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
	ctx context.Context, profile Profile, variables []string, s *server, tenants []tenant, runID, directory string, operations *operations,
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
	command := exec.Command(string(tool), "run", "--quiet", "--no-color", "--log-output=stderr", "--log-format=raw", //nolint:gosec,noctx // Interrupted below.
		filepath.Join(scripts, profile.Name+".js"))
	// Through the environment, where no other user of the machine can read the keys.
	command.Env = append(os.Environ(), "K6_AUTO_EXTENSION_RESOLUTION=false", "K6_NO_USAGE_REPORT=true",
		"API_URL="+s.url, "API_KEY="+tenants[0].APIKey, "ASSET_ID="+tenants[0].AssetID, "INSTITUTIONS="+string(institutions),
		"RUN_ID="+runID, "OUT_DIR="+directory, "OPERATIONS_LOG=true")
	if profile.asOperator {
		command.Env = append(command.Env, "ROOT_KEY="+s.rootKey)
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

// objectives reads the thresholds of the script with their values.
func (o outcome) objectives() ([]Check, error) {
	path := filepath.Join(o.directory, "summary.json")
	content, err := os.ReadFile(path) //nolint:gosec // In our own report.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("k6 left no summary: %s", o.lastLine)
	}
	if err != nil {
		return nil, err
	}
	var summary struct {
		Objectives []struct {
			Name, Threshold string
			OK              bool
			Value           *float64
		}
	}
	if err := json.Unmarshal(content, &summary); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	checks := make([]Check, len(summary.Objectives))
	for i, objective := range summary.Objectives {
		checks[i] = Check{Name: objective.Name, Limit: objective.Threshold, Passed: objective.OK}
		if objective.Value != nil {
			checks[i].Value = formatNumber(*objective.Value)
		}
	}
	if len(checks) == 0 {
		return nil, fmt.Errorf("%s has no objectives", path)
	}
	return checks, nil
}
