package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/bench"
)

// The experiments on the program as it is built, as briefly as they can be: what they
// measure then means nothing, but all that was acknowledged is looked for. Overload is
// left to scripts/bench: it takes longer than all the others.
func TestBenchMeasuresItsExperiments(t *testing.T) { //nolint:tparallel // One run after the other, beside the other tests.
	t.Parallel()
	for _, names := range [][]string{{"pairs", "paced", "reads", "batches", "verify"}, {"instances", "log", "size"}} {
		t.Run(strings.Join(names, " "), func(t *testing.T) { testExperiments(t, names) })
	}
}

func testExperiments(t *testing.T, names []string) {
	t.Helper()
	directory := t.TempDir()
	code, stdout, stderr := call(t, nil, append([]string{
		"bench", "--rounds=1", "--duration=1s", "--positions=12000", "--report=" + directory,
	}, names...)...)
	// On a busy machine goals are missed.
	if code != exitOK && (code != exitFailure || !strings.Contains(stderr, "goals are missed")) {
		t.Fatalf("it ends with %d:\n%s\n%s", code, stdout, stderr)
	}
	figures, err := bench.ReadFigures(filepath.Join(directory, "figures.json"))
	if err != nil {
		t.Fatal(err)
	}
	measured := make(map[string]int)
	for _, c := range figures.Comparisons {
		measured[c.Experiment]++
		for i, contender := range c.Contenders {
			// With 200 connections a floor may finish nothing in its second.
			if len(contender.Rounds) != 1 || contender.Median <= 0 && i > 0 {
				t.Errorf("%s: %s has the figures %v", c.Name, contender.Name, contender.Rounds)
			}
		}
		if len(c.Contenders) != 2 || !strings.Contains(stdout, c.Name) {
			t.Errorf("%s: ratio %v of %d contenders; it stands in the output: %v", c.Name, c.Ratio, len(c.Contenders), strings.Contains(stdout, c.Name))
		}
	}
	for _, name := range names {
		if measured[name] == 0 {
			t.Errorf("nothing was measured of %s", name)
		}
	}
}

func TestBenchUsage(t *testing.T) {
	for args, says := range map[string]string{
		"bench pears":          "pears",
		"bench --rounds=0":     "--rounds",
		"bench --duration=1ms": "--duration",
		"bench --positions=1":  "--positions",
	} {
		code, stdout, stderr := call(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, says) {
			t.Errorf("escrowgrid %s ends with %d, %q and %q", args, code, stdout, stderr)
		}
	}
}
