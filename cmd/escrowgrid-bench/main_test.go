package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/bench"
	"github.com/escrowgrid/escrowgrid/internal/subprocess"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// What is tested is the program as it is built, with the server beside it.
func TestMain(m *testing.M) { os.Exit(programtest.Run(m, []string{"./cmd/escrowgrid-bench"})) }

// call runs the program to its end.
func call(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, progress bytes.Buffer
	p := exec.Command(programtest.Path("escrowgrid-bench"), args...) //nolint:noctx // Its supervisor ends it.
	p.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	for _, name := range []string{"PATH", "TMPDIR", "POSTGRES_BIN", "GOCOVERDIR"} {
		p.Env = append(p.Env, name+"="+os.Getenv(name))
	}
	p.Stdout, p.Stderr = &out, &progress
	ended, err := subprocess.Start(p, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}

	// There is no other clock than go test's own: machines differ, and are busy.
	<-ended
	return p.ProcessState.ExitCode(), out.String(), progress.String()
}

// The experiments on the program as it is built, as briefly as they can be: what they
// measure then means nothing, but all that was acknowledged is looked for. Overload is
// left to scripts/bench: it takes longer than all the others.
func TestItMeasuresItsExperiments(t *testing.T) { //nolint:tparallel // One run after the other, beside the other tests.
	t.Parallel()
	for _, names := range [][]string{{"pairs", "paced", "reads", "batches", "verify"}, {"instances", "log", "size"}} {
		t.Run(strings.Join(names, " "), func(t *testing.T) { testExperiments(t, names) })
	}
}

func testExperiments(t *testing.T, names []string) {
	t.Helper()
	directory := t.TempDir()
	const work = 100
	// The servers have time for a request, as long as they may.
	code, stdout, stderr := call(t, []string{"REQUEST_TIMEOUT=10m"}, append([]string{
		"--rounds=1", fmt.Sprint("--work=", work), "--positions=12000", "--report=" + directory,
	}, names...)...)
	// On a busy machine goals are missed, but all is measured.
	ended := code == exitOK || code == exitFailure && strings.Contains(stderr, "goals are missed")
	if !ended || strings.Contains(stderr, "unmeasured") {
		t.Fatalf("it ends with %d:\n%s\n%s", code, stdout, stderr)
	}
	figures, err := bench.ReadFigures(filepath.Join(directory, "figures.json"))
	if err != nil {
		t.Fatal(err)
	}
	measured := make(map[string]int)
	for _, c := range figures.Comparisons {
		measured[c.Experiment]++
		if c.Conditions.RoundWork != work || c.Conditions.RoundSeconds != 0 {
			t.Errorf("%s: its turns are of %d pieces of work and of %g s",
				c.Name, c.Conditions.RoundWork, c.Conditions.RoundSeconds)
		}
		for _, contender := range c.Contenders {
			if len(contender.Rounds) != 1 || contender.Median <= 0 {
				t.Errorf("%s: %s has the figures %v", c.Name, contender.Name, contender.Rounds)
			}
		}
		if len(c.Contenders) != 2 || !strings.Contains(stdout, c.Name) {
			t.Errorf("%s: ratio %v of %d contenders; it stands in the output: %v",
				c.Name, c.Ratio, len(c.Contenders), strings.Contains(stdout, c.Name))
		}
	}
	for _, name := range names {
		if measured[name] == 0 {
			t.Errorf("nothing was measured of %s", name)
		}
	}
}

// What could not be measured is no pass, and is named.
func TestARunWithoutAFigureIsNoPass(t *testing.T) {
	met, missed := bench.Comparison{Name: "reads", Goal: 1, Ratio: 2}, bench.Comparison{Name: "pairs", Goal: 1, Ratio: 0.5}
	unmeasured := bench.Comparison{Name: "p99", Goal: 3, AtMost: true, Unmeasured: []string{"floor", "server"}}
	for name, test := range map[string]struct {
		comparisons []bench.Comparison
		says        []string
	}{
		"all met":            {[]bench.Comparison{met}, nil},
		"a goal missed":      {[]bench.Comparison{met, missed}, []string{"1 of 2 goals are missed"}},
		"a floor unfinished": {[]bench.Comparison{met, unmeasured}, []string{"unmeasured", "p99 (floor, server)"}},
		"both":               {[]bench.Comparison{missed, unmeasured}, []string{"1 of 2 goals are missed", "p99 (floor, server)"}},
	} {
		err := verdict(&bench.Figures{Comparisons: test.comparisons})
		if (err != nil) != (test.says != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %q does not say %q", name, err, says)
			}
		}
	}
}

// older is the server under another version, which keeps the commands that it was called with.
func older(t *testing.T) (path, commands string) {
	t.Helper()
	directory := t.TempDir()
	path, commands = filepath.Join(directory, "older"), filepath.Join(directory, "commands")
	script := fmt.Sprintf(`#!/bin/sh
echo "$1" >>'%s'
[ "$1" != version ] || { echo 'escrowgrid 0.older'; exit; }
exec '%s' "$@"
`, commands, programtest.Program())
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, commands
}

// A server beside another has the figures of two servers, on both stores, and none of floors.
func TestItComparesTwoServers(t *testing.T) {
	t.Parallel()
	against, commands := older(t)
	directory := t.TempDir()
	const work, goal = 100, 1e-9 // It would take a miracle of a machine to miss it.
	code, stdout, stderr := call(t, []string{"REQUEST_TIMEOUT=10m"},
		"pairs", "reads", "--against="+against, fmt.Sprint("--goal=", goal),
		"--rounds=2", fmt.Sprint("--work=", work), "--report="+directory)
	if code != exitOK {
		t.Fatalf("it ends with %d:\n%s\n%s", code, stdout, stderr)
	}

	figures, err := bench.ReadFigures(filepath.Join(directory, "against.json"))
	if err != nil {
		t.Fatal(err)
	}
	compared := make(map[string]bool)
	for _, c := range figures.Comparisons {
		compared[c.Name] = true
		if c.Goal != goal || !c.Met() || c.Conditions.RoundWork != work {
			t.Errorf("%s: its goal is %v, met: %v, its turns are of %d pieces of work",
				c.Name, c.Goal, c.Met(), c.Conditions.RoundWork)
		}
		if len(c.Contenders) != 2 {
			t.Fatalf("%s: it has %d contenders", c.Name, len(c.Contenders))
		}
		for i, name := range []string{"old, 0.older", "new, dev"} {
			if one := c.Contenders[i]; !strings.HasPrefix(one.Name, name) || len(one.Rounds) != 2 || one.Median <= 0 {
				t.Errorf("%s: contender %d is %s, with the figures %v", c.Name, i, one.Name, one.Rounds)
			}
		}
	}
	for _, store := range []string{"SQLite", "PostgreSQL"} {
		for _, what := range []string{"pairs", "GET a position"} {
			if name := what + ", new server against old, " + store + ", 50 connections"; !compared[name] {
				t.Errorf("%q is not among %v", name, compared)
			}
		}
	}
	called, err := os.ReadFile(commands)
	if served := strings.Count(string(called), "serve\n"); err != nil || served != len(figures.Comparisons) {
		t.Errorf("the older server served in %d of %d comparisons, %v", served, len(figures.Comparisons), err)
	}
}

// What only floors can be beside is not measured against a server.
func TestNotEveryExperimentComparesServers(t *testing.T) {
	code, stdout, stderr := call(t, nil, "--against="+programtest.Program(), "reads", "paced")
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, "--against: paced is not one of pairs, reads") {
		t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
	}
}

func TestWrongUsage(t *testing.T) {
	for args, says := range map[string]string{
		"pears":                "pears",
		"--rounds=0":           "--rounds",
		"--duration=1ms":       "--duration",
		"--work=-1":            "--work",
		"--positions=1":        "--positions",
		"--server=/not/there":  "--server",
		"--against=/not/there": "--against",
		"--goal=0.97":          "--against",
		"--goal=-1":            "--goal",
	} {
		code, stdout, stderr := call(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, says) {
			t.Errorf("escrowgrid-bench %s ends with %d, %q and %q", args, code, stdout, stderr)
		}
	}
}

func TestHelpTellsHowToMeasure(t *testing.T) {
	code, stdout, stderr := call(t, nil, "--help")
	if code != exitOK || stderr != "" {
		t.Errorf("it ends with %d and %q", code, stderr)
	}
	tells := []string{
		"Usage: escrowgrid-bench [<experiments> ...] [flags]", "--server=PATH", "--against=PATH", "--rounds=5",
		"\nExit codes: 0 success; 1 a goal is missed",
	}
	for _, e := range bench.Experiments() {
		tells = append(tells, e.Name+": ")
	}
	lines := strings.ReplaceAll(stdout, "\n", " \n") // A line can end behind a name.
	for _, part := range tells {
		if !strings.Contains(lines, part) {
			t.Errorf("%q is not in:\n%s", part, stdout)
		}
	}
}

// What is measured is the server that was built with the program, or else the one that is installed.
func TestTheServerIsFound(t *testing.T) {
	beside, onPath, empty := t.TempDir(), t.TempDir(), t.TempDir()
	for _, directory := range []string{beside, onPath} {
		if err := os.Symlink(programtest.Program(), filepath.Join(directory, serverName)); err != nil {
			t.Fatal(err)
		}
	}

	t.Setenv("PATH", onPath)
	for directory, want := range map[string]string{beside: beside, empty: onPath} {
		got, err := findServer(filepath.Join(directory, "escrowgrid-bench"))
		if err != nil || got != filepath.Join(want, serverName) {
			t.Errorf("found is %q, %v; want the one in %s", got, err, want)
		}
	}

	t.Setenv("PATH", empty)
	_, err := findServer(filepath.Join(empty, "escrowgrid-bench"))
	if err == nil {
		t.Fatal("a server is found where there is none")
	}
	for _, says := range []string{"--server", filepath.Join(empty, serverName)} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("without any server it says %v, and not %s", err, says)
		}
	}
}

// What is no server is said to be none before anything is started.
func TestAnotherProgramIsNotMeasured(t *testing.T) {
	other, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		other:                                "is no EscrowGrid server",
		programtest.Path("escrowgrid-bench"): "version",
	} {
		code, stdout, stderr := call(t, nil, "--server="+path)
		if code != exitFailure || stdout != "" || !strings.Contains(stderr, path) || !strings.Contains(stderr, says) {
			t.Errorf("it ends with %d, %q and %q", code, stdout, stderr)
		}
	}
}
