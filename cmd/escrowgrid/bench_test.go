package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/bench"
)

// All experiments on the program as it is built, as briefly as they can be: what they
// measure then means nothing, but all that was acknowledged is looked for.
func TestBenchMeasuresEveryExperiment(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	code, stdout, stderr := call(t, nil, "bench", "--all", "--rounds=1", "--duration=1s", "--positions=12000", "--report="+directory)
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
		for _, contender := range c.Contenders {
			if contender.Median <= 0 || len(contender.Rounds) != 1 {
				t.Errorf("%s: %s has the figures %v", c.Name, contender.Name, contender.Rounds)
			}
		}
		if len(c.Contenders) != 2 || c.Ratio <= 0 || !strings.Contains(stdout, c.Name) {
			t.Errorf("%s: ratio %v of %d contenders; it stands in the output: %v", c.Name, c.Ratio, len(c.Contenders), strings.Contains(stdout, c.Name))
		}
	}
	for _, e := range bench.Experiments() {
		if measured[e.Name] == 0 {
			t.Errorf("nothing was measured of %s", e.Name)
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
