package bench

import (
	"context"
	"fmt"
	"slices"
)

// Experiment is a set of comparisons.
type Experiment struct {
	Name, Does string
	// Large says that the experiment takes long, so that it runs only by its name.
	Large bool
	// postgres says that the experiment needs PostgreSQL.
	postgres bool
	// run measures servers beside floors, or beside each other.
	run func(*bench, context.Context) error
	// against compares the server with Config.Against; nil when the experiment cannot.
	against func(*bench, context.Context) error
}

// ComparesServers reports whether the experiment can compare a server with Config.Against.
func (e Experiment) ComparesServers() bool { return e.against != nil }

// Experiments lists the experiments, in the order in which they run.
func Experiments() []Experiment {
	return []Experiment{
		// A server, beside floors.
		{
			Name:    "pairs",
			Does:    "positions created and funded per second, beside a floor of HTTP and one of SQL",
			run:     (*bench).pairs,
			against: (*bench).pairsAgainst,
		},
		{
			Name:     "paced",
			Does:     "latency at 500 requests per second, beside that of a single INSERT",
			run:      (*bench).paced,
			postgres: true,
		},
		{
			Name:    "reads",
			Does:    "positions read per second, beside a floor of HTTP",
			run:     (*bench).reads,
			against: (*bench).readsAgainst,
		},
		{
			Name:     "batches",
			Does:     "positions created by batches, beside a floor of SQL",
			run:      (*bench).batches,
			postgres: true,
		},

		// A server, beside one that does less for the same writes.
		{
			Name:     "instances",
			Does:     "three servers on one database, beside one",
			run:      (*bench).instances,
			postgres: true,
		},
		{
			Name: "log",
			Does: "pairs while the transparency log follows, beside pairs without it",
			run:  (*bench).transparencyLog,
		},
		{
			Name: "traces",
			Does: "pairs while requests are traced, beside pairs while none is",
			run:  (*bench).traces,
		},
		{
			Name: "rules",
			Does: "pairs under approval rules that ask for nobody, beside pairs without rules",
			run:  (*bench).rules,
		},

		// Long journals, much load, many positions.
		{
			Name:  "verify",
			Does:  "a journal of a million entries verified, beside a minute and beside a small one",
			run:   (*bench).verify,
			Large: true,
		},
		{
			Name: "overload",
			Does: "twice as many requests as a server can carry out",
			run:  (*bench).overload,
		},
		{
			Name:  "size",
			Does:  "a large database, beside a small one",
			run:   (*bench).size,
			Large: true,
		},
	}
}

// place is an experiment's index in Experiments; -1 when there is none of that name.
func place(name string) int {
	return slices.IndexFunc(Experiments(), func(e Experiment) bool { return e.Name == name })
}

// experiments returns the experiments to run. An experiment that is named but cannot run is an
// error; one that is not named is left out.
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
