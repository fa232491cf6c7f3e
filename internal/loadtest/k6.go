package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/subprocess"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
	"github.com/escrowgrid/escrowgrid/load"
)

// k6 is the load generator.
type k6 struct {
	path, version string
	// scripts is a directory with a copy of the scripts.
	scripts string
	// variables are those of the scripts that the operator set, as NAME=VALUE.
	variables []string
	// prometheusURL is the remote-write address to which it sends its metrics; "" is none.
	prometheusURL string
}

// k6Version matches the version in what k6 version prints.
var k6Version = regexp.MustCompile(`\bv\d+\.\d+\.\d+\S*`)

// openK6 finds the k6 that is named or, without a name, the one on PATH or the pinned version,
// and gives it a copy of the scripts, which close removes.
func openK6(ctx context.Context, config Config) (_ *k6, err error) {
	path, err := findK6(ctx, config.K6, config.Progress)
	if err != nil {
		return nil, err
	}
	printed, err := exec.CommandContext(ctx, path, "version").Output() //nolint:gosec // The operator says which.
	if err != nil {
		return nil, fmt.Errorf("%s version: %w", path, err)
	}
	version := k6Version.FindString(string(printed))
	if version == "" {
		return nil, &UsageError{path + " is no k6: it prints no version"}
	}

	tool := &k6{path: path, version: version, variables: config.Variables, prometheusURL: config.PrometheusURL}
	if tool.scripts, err = os.MkdirTemp("", "escrowgrid-scripts-"); err != nil {
		return nil, err
	}
	err = errors.Join(
		os.CopyFS(tool.scripts, load.Files),
		// k6 would read the user's configuration, which can replace the load of a script.
		os.WriteFile(tool.configPath(), []byte("{}\n"), 0o600))
	if err != nil {
		return nil, errors.Join(err, tool.close())
	}
	return tool, nil
}

// findK6 returns the path of the named k6 or, without a name, of the one on PATH or of the
// pinned version.
func findK6(ctx context.Context, named string, progress io.Writer) (string, error) {
	if named != "" {
		path, err := exec.LookPath(named)
		if err != nil {
			return "", &UsageError{err.Error()}
		}
		return path, nil
	}
	if path, err := exec.LookPath("k6"); err == nil {
		return path, nil
	}
	return load.PinnedK6(ctx, progress)
}

func (tool *k6) close() error { return os.RemoveAll(tool.scripts) }

func (tool *k6) configPath() string { return filepath.Join(tool.scripts, "k6-config.json") }

func (tool *k6) script(profile Profile) string {
	return filepath.Join(tool.scripts, profile.Name+".js")
}

// inspect has k6 load a profile's script with the operator's variables, which sends nothing, and
// returns the load that it would send. A UsageError says which variable is wrong.
func (tool *k6) inspect(ctx context.Context, profile Profile) (Plan, error) {
	command := exec.CommandContext(ctx, tool.path, "inspect", //nolint:gosec // The operator says which.
		"--include-system-env-vars", "--log-output=stderr", "--log-format=raw", "--no-color", tool.script(profile))
	command.Env = tool.environment(k6Target{
		URL:          "http://localhost:1",
		APIKey:       "egk_none",
		AssetID:      "ast_none",
		RootKey:      "none",
		CheckerKey:   "egk_none",
		Institutions: `[{"apiKey": "egk_none", "assetId": "ast_none"}]`,
	})
	var said bytes.Buffer
	command.Stderr = &said
	options, err := command.Output()

	if command.ProcessState == nil {
		return Plan{}, err
	}
	message := lastLine(said.String())
	switch code := command.ProcessState.ExitCode(); code {
	case 0:
		return readPlan(options)
	case k6ScriptException:
		return Plan{}, &UsageError{message}
	default:
		return Plan{}, fmt.Errorf("k6 inspect ended with exit code %d: %s", code, message)
	}
}

// lastLine returns the last line of a text that is not blank.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// k6Run says what k6 runs, and against which server.
type k6Run struct {
	id      string
	profile Profile
	server  *testbed.Server
	tenants []testbed.Tenant
	// directory is where k6 leaves its summary and its log.
	directory string
	// started is called with k6's process id.
	started func(pid int)
}

// outcome is how a run of k6 ended.
type outcome struct {
	// code is its exit code, or -1 where a signal ended it.
	code     int
	lastLine string
	// cpu is the time that it had of processors, in elapsed of time.
	cpu, elapsed time.Duration
}

// run runs a profile's script, until it ends by itself or ctx does. It parses the operations log
// as k6 writes it and copies k6's other messages to its log. An error says that there was no load.
func (tool *k6) run(ctx context.Context, r k6Run, operations *operations) (_ outcome, err error) {
	if r.directory, err = filepath.Abs(r.directory); err != nil {
		return outcome{}, err
	}
	if err := os.MkdirAll(r.directory, 0o750); err != nil {
		return outcome{}, err
	}
	log, err := os.Create(filepath.Join(r.directory, k6Log))
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	command, err := tool.command(r)
	if err != nil {
		return outcome{}, err
	}
	output, stderr, err := os.Pipe()
	if err != nil {
		return outcome{}, err
	}
	defer func() { _ = output.Close() }() // It was only read.
	command.Stdout, command.Stderr = log, stderr
	startedAt := time.Now()
	ended, err := subprocess.Start(command, syscall.SIGINT)
	if err != nil {
		return outcome{}, err
	}
	_ = stderr.Close() // k6 has its own descriptor.
	r.started(command.Process.Pid)
	stop := context.AfterFunc(ctx, func() { _ = command.Process.Signal(syscall.SIGINT) })
	defer stop()

	result := outcome{lastLine: followLog(output, log, operations)}
	<-ended
	result.code = command.ProcessState.ExitCode()
	result.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	result.elapsed = time.Since(startedAt)
	return result, nil
}

// command returns the command of a run. The API keys are in its environment, where other
// users of the machine cannot read them.
func (tool *k6) command(r k6Run) (*exec.Cmd, error) {
	institutions, err := json.Marshal(r.tenants) //nolint:gosec // k6 sends its load with these keys.
	if err != nil {
		return nil, err
	}
	target := k6Target{
		URL:          r.server.URL,
		APIKey:       r.tenants[0].APIKey,
		AssetID:      r.tenants[0].AssetID,
		Institutions: string(institutions),
	}
	if r.profile.withChecker {
		target.CheckerKey = r.tenants[0].CheckerKey
	}
	if r.profile.asOperator {
		target.RootKey = r.server.RootKey
	}

	args := []string{
		"run", "--quiet", "--no-color", "--log-output=stderr", "--log-format=raw",
		"--address=", // Nobody else is to steer it.
	}
	if tool.prometheusURL != "" {
		args = append(args, "--out=experimental-prometheus-rw", "--tag=testid="+r.id)
	}
	command := exec.Command(tool.path, append(args, tool.script(r.profile))...) //nolint:gosec,noctx // run interrupts it.
	command.Env = append(tool.environment(target),
		"RUN_ID="+r.id,
		"SUMMARY_FILE="+filepath.Join(r.directory, summaryFile),
		"OPERATIONS_LOG=true")
	return command, nil
}

// followLog adds the lines of the operations log to operations, copies the others to k6's
// log, and returns the last of these that is not blank.
func followLog(output io.Reader, log io.Writer, operations *operations) (last string) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if operations.addLine(line) {
			continue
		}
		fmt.Fprintln(log, line)
		if text := strings.TrimSpace(line); text != "" {
			last = text
		}
	}

	// After a line that is too long k6 must not wait for a reader.
	if lines.Err() != nil {
		_, _ = io.Copy(log, output)
	}
	return last
}
