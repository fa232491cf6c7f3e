package main

import (
	"fmt"
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
	const work = 100
	// The servers have time for a request, as long as they may.
	code, stdout, stderr := call(t, []string{"REQUEST_TIMEOUT=10m"}, append([]string{
		"bench", "--rounds=1", fmt.Sprint("--work=", work), "--positions=12000", "--report=" + directory,
	}, names...)...)
	// On a busy machine goals are missed, but all is measured.
	if code != exitOK && (code != exitFailure || !strings.Contains(stderr, "goals are missed")) || strings.Contains(stderr, "unmeasured") {
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
			t.Errorf("%s: its turns are of %d pieces of work and of %g s", c.Name, c.Conditions.RoundWork, c.Conditions.RoundSeconds)
		}
		for _, contender := range c.Contenders {
			if len(contender.Rounds) != 1 || contender.Median <= 0 {
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

// What could not be measured is no pass, and is named.
func TestABenchWithoutAFigureIsNoPass(t *testing.T) {
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

func TestBenchUsage(t *testing.T) {
	for args, says := range map[string]string{
		"bench pears":          "pears",
		"bench --rounds=0":     "--rounds",
		"bench --duration=1ms": "--duration",
		"bench --work=-1":      "--work",
		"bench --positions=1":  "--positions",
	} {
		code, stdout, stderr := call(t, nil, strings.Fields(args)...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, says) {
			t.Errorf("escrowgrid %s ends with %d, %q and %q", args, code, stdout, stderr)
		}
	}
}
