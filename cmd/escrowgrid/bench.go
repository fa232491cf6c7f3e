package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/bench"
)

type benchCommand struct {
	Experiments []string      `arg:"" optional:"" help:"What to measure. ${experiments}. All but the large ones when left out."`
	Database    string        `help:"Measure on this PostgreSQL server, as a user who may make databases, instead of on a private one."`
	All         bool          `help:"Measure everything, the large experiments too."`
	Rounds      int           `default:"5" help:"How often each contender has its turn; 5 when left out."`
	Duration    time.Duration `default:"4s" help:"How long a turn is; 4s when left out."`
	Work        int           `placeholder:"NUMBER" help:"End each turn after so many pieces of work, however long they take, instead of after --duration. pgbench does as many on each of its connections."`
	Positions   int           `default:"10000000" help:"How many positions the large database of the experiment size holds."`
	Report      string        `placeholder:"DIR" help:"Keep the figures in DIR/figures.json."`
}

// Help explains the command below its flags' list.
func (*benchCommand) Help() string {
	return `Measures servers that it starts, beside floors: a server that answers without doing anything, and statements
that PostgreSQL's pgbench runs without any server. Rounds of all take turns, and the ratio is what counts. Afterwards
every write that was acknowledged must be in the ledger once.

  escrowgrid bench                                 on SQLite, and on PostgreSQL where it is installed
  escrowgrid bench --database postgres://…         on a PostgreSQL server that runs already
  escrowgrid bench pairs --rounds 9                one experiment, with more rounds
  escrowgrid bench --all                           everything, which takes an hour or two

What else the machine does is measured too: leave it alone. A turn in which nothing is finished measures nothing,
and decides about no goal. Exit code 1 when a goal is missed, or something could not be measured.`
}

// Run measures.
func (c *benchCommand) Run(ctx context.Context, out output) error {
	if err := c.check(); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	figures, err := bench.Run(ctx, bench.Config{
		Executable: executable, Version: version(), PostgreSQL: c.Database, Experiments: c.Experiments, Rounds: c.Rounds,
		Duration: c.Duration, Work: c.Work, Positions: c.Positions, Directory: c.Report, Out: out.stdout, Progress: out.stderr,
	})
	if err != nil {
		return err
	}
	return verdict(figures)
}

// verdict returns an error that says what of the figures is no pass: goals that are missed,
// and comparisons that could not be made.
func verdict(figures *bench.Figures) error {
	var faults, unmeasured []string
	missed := 0
	for _, comparison := range figures.Comparisons {
		switch {
		case !comparison.Measured():
			unmeasured = append(unmeasured, fmt.Sprintf("%s (%s)", comparison.Name, strings.Join(comparison.Unmeasured, ", ")))
		case !comparison.Met():
			missed++
		}
	}

	if missed > 0 {
		faults = append(faults, fmt.Sprintf("%d of %d goals are missed", missed, len(figures.Comparisons)))
	}
	if len(unmeasured) > 0 {
		faults = append(faults, "unmeasured, as nothing was finished in a turn, which may have to be longer: "+strings.Join(unmeasured, "; "))
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// minPositions is how many a large database has at the least: more than the small one.
const minPositions = 11_000

func (c *benchCommand) check() error {
	if c.All {
		c.Experiments = experimentList()
	}
	for _, name := range c.Experiments {
		if !slices.Contains(experimentList(), name) {
			return &usageError{fmt.Sprintf("%s is none of %s", name, strings.Join(experimentList(), ", "))}
		}
	}
	switch {
	case c.Rounds < 1:
		return &usageError{fmt.Sprintf("--rounds=%d must be 1 at least", c.Rounds)}
	case c.Duration < time.Second:
		return &usageError{fmt.Sprintf("--duration=%s must be 1s at least", c.Duration)}
	case c.Work < 0:
		return &usageError{fmt.Sprintf("--work=%d must be 0 at least", c.Work)}
	case c.Positions < minPositions:
		return &usageError{fmt.Sprintf("--positions=%d must be %d at least", c.Positions, minPositions)}
	}
	return nil
}

// floorCommand is the server of canned answers, which bench runs.
type floorCommand struct{}

// Run serves until the context ends.
func (*floorCommand) Run(ctx context.Context, out output) error {
	return bench.ServeFloor(ctx, out.stdout)
}

// experimentHelp says what each experiment measures.
func experimentHelp() string {
	var lines []string
	for _, e := range bench.Experiments() {
		line := e.Name + ": " + e.Does
		if e.Large {
			line += " (large)"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

func experimentList() []string {
	var names []string
	for _, e := range bench.Experiments() {
		names = append(names, e.Name)
	}
	return names
}
