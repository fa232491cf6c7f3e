// Package bench measures the server beside floors, which do the same work without
// what makes it a platform: a server of canned answers, and statements written by
// hand. Machines differ, and one machine differs from minute to minute; so the
// contenders take turns, round by round, and what counts is the ratio.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config says what to measure.
type Config struct {
	// Server is the path of the program to measure.
	Server string
	// Against is the path of another server program, with which the first is compared instead
	// of with floors; "" is none.
	Against string
	// Goal is the least ratio of the server's figure to that of Against; 0 is none.
	Goal float64
	// Floor is the path of a program that runs ServeFloor when FloorCommand is its argument.
	Floor string
	// PostgreSQL is the URL of a server whose user may create databases. "" starts a private
	// one; where PostgreSQL is not installed, what needs one is left out.
	PostgreSQL string
	// Experiments are names of Experiments. Without any, all run that are not large.
	Experiments []string
	// Rounds is how often each contender has its turn, of Duration each. With Work above 0, a
	// turn ends after so many pieces of work instead, however long they take.
	Rounds   int
	Duration time.Duration
	Work     int
	// Positions is how many positions the larger database of the experiment size holds. The
	// journals of the experiment verify have a fixed share of them.
	Positions int
	// Directory is where the figures are kept, in figures.json, or in against.json when two
	// servers are compared; "" keeps none.
	Directory string
	// Out gets the figures for people, and Progress what is under way.
	Out, Progress io.Writer
}

// bench is a run of experiments.
type bench struct {
	config     Config
	conditions Conditions
	figures    Figures
	progress   *progress
	// experiment is the name of the one under way.
	experiment string
	// scratch is a directory for databases, logs and scripts.
	scratch string
	// floor is nil when two servers are compared.
	floor *floor
	// closers are called at the end, the last first.
	closers []func() error
	// servers and databases count those that were started, for the names of files.
	servers, databases int
}

// Run runs the experiments, prints their figures, keeps them and returns them. Figures that miss
// their goal are no error.
func Run(ctx context.Context, config Config) (_ *Figures, err error) {
	b := &bench{config: config, progress: newProgress(config.Progress)}
	if b.conditions, err = config.conditions(ctx); err != nil {
		return nil, err
	}

	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}

	// Which experiments can run depends on whether there is a PostgreSQL server.
	chosen, err := b.config.experiments()
	if err != nil {
		return nil, err
	}
	for _, e := range chosen {
		if err := b.measure(ctx, e); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
	}

	if config.Directory == "" {
		return &b.figures, nil
	}
	file := figuresFile
	if config.Against != "" {
		file = againstFile
	}
	return &b.figures, b.figures.save(filepath.Join(config.Directory, file))
}

// prepare makes a directory and starts what all experiments share: the floor and PostgreSQL.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.scratch, err = os.MkdirTemp("", "escrowgrid-bench-"); err != nil {
		return err
	}
	b.closers = append(b.closers, func() error { return os.RemoveAll(b.scratch) })

	if b.config.Against == "" {
		if b.floor, err = startFloor(b.config.Floor); err != nil {
			return err
		}
		b.closers = append(b.closers, func() error { b.floor.close(); return nil })
	}
	return b.openPostgreSQL(ctx)
}

// measure runs an experiment, and then closes what it has opened.
func (b *bench) measure(ctx context.Context, e Experiment) error {
	b.experiment = e.Name
	run := e.run
	if b.config.Against != "" {
		run = e.against
	}

	open := len(b.closers)
	return errors.Join(run(b, ctx), b.closeFrom(open))
}

// conditions returns what is known of a run before it begins.
func (c Config) conditions(ctx context.Context) (Conditions, error) {
	version, err := serverVersion(ctx, c.Server)
	conditions := Conditions{
		At:      time.Now().UTC().Truncate(time.Second),
		Version: version,
		Machine: Machine{
			Processors: runtime.NumCPU(),
			OS:         runtime.GOOS + "/" + runtime.GOARCH,
			Go:         runtime.Version(),
		},
	}

	if conditions.RoundWork = c.Work; c.Work == 0 {
		conditions.RoundSeconds = c.Duration.Seconds()
	}
	return conditions, err
}

// serverVersion asks a program for its version. A program that gives none is no EscrowGrid
// server: this error is clearer than the one of a server that does not start.
func serverVersion(ctx context.Context, path string) (string, error) {
	output, err := exec.CommandContext(ctx, path, "version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", path, err)
	}

	version, isServer := strings.CutPrefix(string(output), "escrowgrid ")
	if !isServer {
		return "", fmt.Errorf("%s is no EscrowGrid server: it says that its version is %q", path, output)
	}
	return strings.TrimSpace(version), nil
}

// close undoes everything that was set up.
func (b *bench) close() error { return b.closeFrom(0) }

// closeFrom calls the closers from an index on, the last first, and leaves those before it.
func (b *bench) closeFrom(open int) error {
	var errs []error
	for _, closer := range slices.Backward(b.closers[open:]) {
		errs = append(errs, closer())
	}
	b.closers = b.closers[:open]
	return errors.Join(errs...)
}

// The stores, by their names in figures.
const (
	onSQLite     = "SQLite"
	onPostgreSQL = "PostgreSQL"
)

// stores returns the stores that can be measured.
func (b *bench) stores() []string {
	if b.config.PostgreSQL == "" {
		return []string{onSQLite}
	}
	return []string{onSQLite, onPostgreSQL}
}
