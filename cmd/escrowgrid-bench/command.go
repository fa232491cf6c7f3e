package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/escrowgrid/escrowgrid/internal/bench"
	"github.com/escrowgrid/escrowgrid/internal/secretflag"
)

// command is the command line. A flag's help text is its documentation.
type command struct {
	Experiments []string      `arg:"" optional:"" help:"What to measure. ${experiments}. All but the large ones when left out."`
	Server      string        `type:"existingfile" placeholder:"PATH" help:"The server to measure; when left out, the escrowgrid beside this program, or else the one on PATH."`
	Against     string        `type:"existingfile" placeholder:"PATH" help:"Another server, such as an older one, to compare the server with instead of with floors: in the experiments ${comparing}, on both stores, round by round."`
	Goal        float64       `placeholder:"RATIO" help:"The least ratio of the server's figures to those of the one that --against names, like 0.97; none when left out."`
	Database    string        `help:"Measure on this PostgreSQL server, as a user who may create databases, instead of on a private one."`
	All         bool          `help:"Run all experiments, the large ones too."`
	Rounds      int           `default:"5" help:"How often each contender has its turn; 5 when left out."`
	Duration    time.Duration `default:"4s" help:"How long a turn is; 4s when left out."`
	Work        int           `placeholder:"NUMBER" help:"End each turn after so many pieces of work, however long they take, instead of after --duration. pgbench divides them evenly among its connections."`
	Positions   int           `default:"10000000" help:"How many positions the large database of the experiment size holds."`
	Report      string        `placeholder:"DIR" help:"Keep the figures in DIR/figures.json, or those of --against in DIR/against.json."`
}

// description is what the help text begins with.
const description = "Measures how fast servers on this machine are, beside floors."

// Help explains the program below its description, without what docs/performance.md says.
func (*command) Help() string {
	return `Starts servers, and floors beside them: a server that answers without doing anything, and statements that PostgreSQL's
pgbench runs without any server. The contenders take turns, round by round, and what counts is their ratio. Afterwards
every acknowledged write must be in the ledger exactly once.

  escrowgrid-bench                                 on SQLite, and on PostgreSQL where it is installed
  escrowgrid-bench --database postgres://…         on a PostgreSQL server that is already running
  escrowgrid-bench pairs --rounds 9                one experiment, with more rounds
  escrowgrid-bench --against PATH --goal 0.97      what a change costs: the server beside one that was built before it
  escrowgrid-bench --all                           everything, which takes an hour or two

Leave the machine alone meanwhile: whatever else runs on it is measured too. When nothing is finished in a turn, the
goal counts neither as met nor as missed.

Exit codes: 0 success; 1 a goal is missed, or something could not be measured; 2 wrong usage.`
}

// parse reads the arguments. Its error says which of them is wrong. helped reports whether they
// asked for the help text, which parse has then written.
func (c *command) parse(args []string, stdout, stderr io.Writer) (helped bool, err error) {
	options := append(secretflag.Options(),
		kong.Name("escrowgrid-bench"),
		kong.Description(description),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.Vars{"experiments": experimentHelp(), "comparing": strings.Join(comparingNames(), " and ")},
	)
	parser, err := kong.New(c, options...)
	if err != nil {
		return false, err
	}

	// Parse also calls Validate.
	_, err = parser.Parse(args)
	return helped, err
}

// minPositions is the least that the large database can hold: more than the small one holds.
const minPositions = 11_000

// Validate returns an error that names the argument or flag that is wrong.
func (c *command) Validate() error {
	for _, name := range c.Experiments {
		if !slices.Contains(experimentNames(), name) {
			return fmt.Errorf("%s is not one of %s", name, strings.Join(experimentNames(), ", "))
		}
		if c.Against != "" && !slices.Contains(comparingNames(), name) {
			return fmt.Errorf("--against: %s is not one of %s, which compare servers",
				name, strings.Join(comparingNames(), ", "))
		}
	}

	switch {
	case c.Goal < 0:
		return fmt.Errorf("--goal=%g must be at least 0", c.Goal)
	case c.Goal > 0 && c.Against == "":
		return fmt.Errorf("--goal=%g is for two servers: name the other one with --against", c.Goal)
	case c.Rounds < 1:
		return fmt.Errorf("--rounds=%d must be at least 1", c.Rounds)
	case c.Duration < time.Second:
		return fmt.Errorf("--duration=%s must be at least 1s", c.Duration)
	case c.Work < 0:
		return fmt.Errorf("--work=%d must be at least 0", c.Work)
	case c.Positions < minPositions:
		return fmt.Errorf("--positions=%d must be at least %d", c.Positions, minPositions)
	}
	return nil
}

// run runs the experiments, and returns an error unless everything was measured and every goal is
// met.
func (c *command) run(ctx context.Context, stdout, stderr io.Writer) error {
	// The floor is this program, so that it is always of the same version.
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Server == "" {
		if c.Server, err = findServer(program); err != nil {
			return err
		}
	}

	// Without names, bench.Run would leave out the large experiments.
	switch {
	case c.All && c.Against != "":
		c.Experiments = comparingNames()
	case c.All:
		c.Experiments = experimentNames()
	}

	figures, err := bench.Run(ctx, bench.Config{
		Server:      c.Server,
		Against:     c.Against,
		Goal:        c.Goal,
		Floor:       program,
		PostgreSQL:  c.Database,
		Experiments: c.Experiments,
		Rounds:      c.Rounds,
		Duration:    c.Duration,
		Work:        c.Work,
		Positions:   c.Positions,
		Directory:   c.Report,
		Out:         stdout,
		Progress:    stderr,
	})
	if err != nil {
		return err
	}
	return verdict(figures)
}

// verdict returns an error that says how many goals are missed and which comparisons are
// unmeasured; nil when there are none of either.
func verdict(figures *bench.Figures) error {
	var faults, unmeasured []string
	missed := 0
	for _, comparison := range figures.Comparisons {
		switch {
		case !comparison.Measured():
			contenders := strings.Join(comparison.Unmeasured, ", ")
			unmeasured = append(unmeasured, fmt.Sprintf("%s (%s)", comparison.Name, contenders))
		case !comparison.Met():
			missed++
		}
	}

	// The error says both, because an unmeasured comparison may hide another miss.
	if missed > 0 {
		faults = append(faults, fmt.Sprintf("%d of %d goals are missed", missed, len(figures.Comparisons)))
	}
	if len(unmeasured) > 0 {
		faults = append(faults, "unmeasured, because nothing was finished in a turn, which may have to be longer: "+
			strings.Join(unmeasured, "; "))
	}
	if len(faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(faults, "; "))
}

// experimentHelp says what each experiment measures, for the help text. Their one list is in
// internal/bench.
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

// experimentNames are the names of all experiments.
func experimentNames() []string { return names(func(bench.Experiment) bool { return true }) }

// comparingNames are the names of the experiments that can compare two servers.
func comparingNames() []string { return names(bench.Experiment.ComparesServers) }

// names are the names of the experiments that are chosen.
func names(chosen func(bench.Experiment) bool) []string {
	var names []string
	for _, e := range bench.Experiments() {
		if chosen(e) {
			names = append(names, e.Name)
		}
	}
	return names
}
