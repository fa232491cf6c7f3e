package engine

import (
	"cmp"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// Config is what an engine needs. Fields must be set, unless it is noted that they may be missing.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	// Now tells the time.
	Now func() time.Time
	// Random gives the random bits of ids; crypto/rand.Reader in production.
	Random io.Reader
	// Metrics registers the engine's metrics.
	Metrics prometheus.Registerer

	// Operators says who acts for the operator, and with which sessions; the zero value is nobody.
	Operators escrow.Operators
	// Keyring seals the secrets that are kept, and opens them; nil where there is none, and then
	// none can be kept.
	Keyring *vault.Keyring

	// QueueSize bounds the commands that wait, each item of a position batch being
	// one; more are refused with CodeOverloaded.
	QueueSize int
	// GroupSize bounds the commands of one transaction; a request of more is one by
	// itself.
	GroupSize int
	// ExpiryInterval is how often positions that are due are looked for.
	ExpiryInterval time.Duration

	// The rest has defaults, which a zero value takes.

	// Committers is how many transactions can be under way at once, each for other
	// institutions. Default 1 for a store that only this process writes to, else 4.
	Committers int
	// RetryFor bounds how long a group is tried again while the database is not
	// there. Default 5 s.
	RetryFor time.Duration
	// AttemptTimeout bounds one transaction. Default 10 s.
	AttemptTimeout time.Duration
	// HistoryInterval is how often every server looks whether the journals are as far as it
	// has seen them: one that has gone back is noticed within twice that, whether anybody asks
	// for it or not. Default 2 s.
	HistoryInterval time.Duration
	// AbandonedAfter is how long another server can keep this one from writing without
	// being heard of, until its session is ended; it is looked for twice as often. Default 10 s.
	AbandonedAfter time.Duration
}

func (c Config) withDefaults() Config {
	if c.Committers == 0 {
		c.Committers = 4
		if c.Store.Exclusive() {
			c.Committers = 1
		}
	}

	c.RetryFor = cmp.Or(c.RetryFor, 5*time.Second)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 10*time.Second)
	c.HistoryInterval = cmp.Or(c.HistoryInterval, 2*time.Second)
	c.AbandonedAfter = cmp.Or(c.AbandonedAfter, 10*time.Second)
	return c
}
