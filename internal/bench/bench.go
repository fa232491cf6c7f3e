// Package bench measures the server beside floors, which are the same work without
// what makes it a platform: a server of canned answers, and statements written by
// hand. Machines differ, and one machine differs from minute to minute; so rounds of
// all take turns, and what counts is the ratio.
package bench

import (
	"cmp"
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

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// Config says what to measure.
type Config struct {
	// Server is the path of the program that is measured.
	Server string
	// Against is the path of another server program, with which the first is compared instead
	// of with floors; "" for none.
	Against string
	// Goal is what the server's figure is to be by that of the server Against, at least; 0 for
	// none.
	Goal float64
	// Floor is the path of a program that runs ServeFloor when FloorCommand is its argument.
	Floor string
	// PostgreSQL is the URL of a server on which databases can be made; "" starts a
	// private one where the programs are installed, and leaves out what needs one where
	// they are not.
	PostgreSQL string
	// Experiments are names of Experiments; none is all that are not large.
	Experiments []string
	// Rounds is how often each contender has its turn, of Duration each. With Work above 0 a
	// turn ends after so many pieces of work instead, however long they take.
	Rounds   int
	Duration time.Duration
	Work     int
	// Positions is how many the larger database of the experiment size holds; the journals
	// that are verified are parts of it.
	Positions int
	// Directory takes the figures; "" keeps none. Those of two servers are in a file of their
	// own, and leave those beside floors alone.
	Directory string
	// Out takes the figures for people, Progress what is said on the way.
	Out, Progress io.Writer
}

// Experiment is a set of comparisons.
type Experiment struct {
	Name, Does string
	// Large says that it takes long, so that it runs only by its name.
	Large bool
	// postgres says that it is nothing without PostgreSQL.
	postgres bool
	run      func(*bench, context.Context) error
	// against compares two servers, nil where it measures only beside floors.
	against func(*bench, context.Context) error
}

// ComparesServers reports whether the experiment can compare two servers with each other.
func (e Experiment) ComparesServers() bool { return e.against != nil }

// Experiments lists the experiments.
func Experiments() []Experiment {
	return []Experiment{
		{Name: "pairs", Does: "positions made and funded in a second, beside a floor of HTTP and one of SQL", run: (*bench).pairs, against: (*bench).pairsAgainst},
		{Name: "paced", Does: "latency at 500 requests a second, beside that of a single INSERT", run: (*bench).paced, postgres: true},
		{Name: "reads", Does: "positions read in a second, beside a floor of HTTP", run: (*bench).reads, against: (*bench).readsAgainst},
		{Name: "batches", Does: "positions made by batches, beside a floor of SQL", run: (*bench).batches, postgres: true},
		{Name: "instances", Does: "three servers on one database, beside one", run: (*bench).instances, postgres: true},
		{Name: "log", Does: "pairs while the transparency log follows, beside pairs without it", run: (*bench).log},
		{Name: "traces", Does: "pairs while requests are traced, beside pairs while none is", run: (*bench).traces},
		{Name: "verify", Does: "a journal of a million entries verified, beside a minute and beside a small one", run: (*bench).verify, Large: true},
		{Name: "overload", Does: "twice as many requests as can be carried out", run: (*bench).overload},
		{Name: "size", Does: "a large database, beside a small one", run: (*bench).size, Large: true},
	}
}

// place is an experiment's, by its name.
func place(name string) int {
	return slices.IndexFunc(Experiments(), func(e Experiment) bool { return e.Name == name })
}

// bench is a run of benchmarks.
type bench struct {
	config     Config
	conditions Conditions
	figures    Figures
	progress   *progress
	// experiment is the one under way.
	experiment string
	scratch    string
	floor      *floor
	// closers are called at the end, the last first.
	closers            []func() error
	servers, databases int
}

// Run measures, and prints and returns the figures.
func Run(ctx context.Context, config Config) (_ *Figures, err error) {
	b := &bench{config: config, progress: newProgress(config.Progress)}
	if b.conditions, err = config.conditions(ctx); err != nil {
		return nil, err
	}

	if b.scratch, err = os.MkdirTemp("", "escrowgrid-bench-"); err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { return os.RemoveAll(b.scratch) })
	defer func() { err = errors.Join(err, b.close()) }()

	if config.Against == "" {
		if b.floor, err = startFloor(config.Floor); err != nil {
			return nil, err
		}
		b.closers = append(b.closers, func() error { b.floor.close(); return nil })
	}
	if err := b.openPostgreSQL(ctx); err != nil {
		return nil, err
	}

	chosen, err := b.config.experiments()
	if err != nil {
		return nil, err
	}
	for _, e := range chosen {
		b.experiment = e.Name
		measure := e.run
		if config.Against != "" {
			measure = e.against
		}
		open := len(b.closers)
		if err := errors.Join(measure(b, ctx), b.closeFrom(open)); err != nil {
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

// conditions are what is known of a run before it begins.
func (c Config) conditions(ctx context.Context) (Conditions, error) {
	version, err := serverVersion(ctx, c.Server)
	conditions := Conditions{
		At:      time.Now().UTC().Truncate(time.Second),
		Version: version,
		Machine: Machine{Processors: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()},
	}
	if conditions.RoundWork = c.Work; c.Work == 0 {
		conditions.RoundSeconds = c.Duration.Seconds()
	}
	return conditions, err
}

// serverVersion asks a program for its version. One that does not give it is no server, which
// is better said now than when it does not start.
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

// experiments returns those that are to run.
func (c Config) experiments() (chosen []Experiment, err error) {
	for _, name := range c.Experiments {
		if place(name) < 0 {
			return nil, fmt.Errorf("there is no experiment %q", name)
		}
	}
	for _, e := range Experiments() {
		named := slices.Contains(c.Experiments, e.Name)
		switch {
		case c.Against != "" && !e.ComparesServers() && named:
			return nil, fmt.Errorf("experiment %s compares no servers with each other", e.Name)
		case c.Against != "" && !e.ComparesServers():
		case !named && (e.Large || len(c.Experiments) > 0):
		case e.postgres && c.PostgreSQL == "" && named:
			return nil, fmt.Errorf("experiment %s needs a PostgreSQL server", e.Name)
		case e.postgres && c.PostgreSQL == "":
		default:
			chosen = append(chosen, e)
		}
	}
	return chosen, nil
}

// close undoes what was set up; closeFrom leaves the first so many.
func (b *bench) close() error { return b.closeFrom(0) }

func (b *bench) closeFrom(open int) error {
	var errs []error
	for _, closer := range slices.Backward(b.closers[open:]) {
		errs = append(errs, closer())
	}
	b.closers = b.closers[:open]
	return errors.Join(errs...)
}

// setup says what a subject consists of.
type setup struct {
	// name is what figures call it, program the server's; "" is EscrowGrid on its store, and
	// the server that is measured.
	name, program string
	store         string
	// servers and tenants are how many there are; 0 is one.
	servers, tenants int
	// environment is what else the servers are told, as NAME=VALUE.
	environment []string
}

// open starts a subject for the length of the experiment: on a database of its own
// on PostgreSQL, or in an SQLite file.
func (b *bench) open(ctx context.Context, of setup) (*subject, error) {
	b.databases++
	database := "sqlite:" + filepath.Join(b.scratch, fmt.Sprintf("%d.db", b.databases))
	if of.store == onPostgreSQL {
		var err error
		if database, err = b.database(ctx); err != nil {
			return nil, err
		}
	}

	of.name = cmp.Or(of.name, "EscrowGrid, "+of.store)
	of.program = cmp.Or(of.program, b.config.Server)
	of.servers, of.tenants = cmp.Or(of.servers, 1), cmp.Or(of.tenants, 1)
	s, err := b.startSubject(ctx, database, of)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, s.close)
	return s, nil
}

// The stores by the names that figures bear.
const (
	onSQLite     = "SQLite"
	onPostgreSQL = "PostgreSQL"
)

// stores lists those that can be measured.
func (b *bench) stores() []string {
	if b.config.PostgreSQL == "" {
		return []string{onSQLite}
	}
	return []string{onSQLite, onPostgreSQL}
}

// What a private PostgreSQL server is told: enough connections for the clients of a
// floor and the pools of some servers at once, and as much memory as its manual would
// have it take of a small machine, a quarter of 8 GB. Autovacuum looks oftener for
// something to do, so that it is soon known that it has nothing left.
const (
	privateConnections = "400"
	privateBuffers     = "2GB"
	privateNaptime     = "5s"
)

// openPostgreSQL starts a private PostgreSQL server, unless there is one, and asks
// who it is, and whether it keeps what it acknowledges.
func (b *bench) openPostgreSQL(ctx context.Context) error {
	if b.config.PostgreSQL == "" {
		if _, missing := pgcluster.Find(); missing != nil {
			fmt.Fprintln(b.config.Progress, "PostgreSQL is not installed: only SQLite is measured")
			return nil //nolint:nilerr // Said above.
		}
		cluster, err := pgcluster.Start(pgcluster.WithDurability(),
			pgcluster.WithSetting("max_connections", privateConnections), pgcluster.WithSetting("shared_buffers", privateBuffers),
			pgcluster.WithSetting("autovacuum_naptime", privateNaptime))
		if err != nil {
			return err
		}
		b.closers = append(b.closers, cluster.Close)
		b.config.PostgreSQL = cluster.URL("postgres")
	}
	settings, err := readSettings(ctx, b.config.PostgreSQL, "server_version", "fsync", "synchronous_commit", "full_page_writes")
	if err != nil {
		return fmt.Errorf("the PostgreSQL server: %w", err)
	}
	b.conditions.Machine.PostgreSQL = strings.Fields(settings[0])[0]
	if settings[1] != "on" || settings[2] == "off" || settings[3] != "on" {
		return errors.New("the PostgreSQL server has fsync, synchronous_commit or full_page_writes off: " +
			"it acknowledges what it does not keep, and its figures mean nothing")
	}
	return nil
}
