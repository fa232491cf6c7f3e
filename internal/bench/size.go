package bench

import (
	"context"
	"fmt"
	"time"
)

// smallSize is how many positions the small database holds.
const smallSize = 10_000

// size compares a small database with a large one.
func (b *bench) size(ctx context.Context) error {
	for _, store := range b.stores() {
		if err := b.sizeOn(ctx, store); err != nil {
			return err
		}
	}
	return nil
}

// sizeOn fills both databases of a store and makes all comparisons on them.
func (b *bench) sizeOn(ctx context.Context, store string) error {
	var subjects [2]*subject
	var ids [2][]string
	for i, positions := range []int{smallSize, b.config.Positions} {
		s, err := b.open(ctx, setup{store: store})
		if err != nil {
			return err
		}
		if ids[i], err = b.fill(ctx, s, positions); err != nil {
			return err
		}
		s.name = fmt.Sprintf("%d positions", positions)
		subjects[i] = s
	}
	for _, s := range subjects {
		if err := b.awaitVacuum(ctx, store, s); err != nil {
			return err
		}
	}

	for _, one := range b.sizeComparisons(ids) {
		// An earlier comparison may have restarted the servers at new addresses, so that
		// contenders are made only now.
		var contenders []contender
		for i, s := range subjects {
			c, err := one.of(i, s)
			if err != nil {
				return err
			}
			contenders = append(contenders, c)
		}
		one.Name += " by the size of the database, " + store
		if err := b.compare(ctx, one.Comparison, contenders...); err != nil {
			return err
		}
	}

	for _, s := range subjects {
		if err := s.checkLedger(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sizeComparison is a comparison of two databases.
type sizeComparison struct {
	Comparison
	// of returns a contender on the small database, 0, or the large one, 1.
	of func(i int, s *subject) (contender, error)
}

// sizeComparisons returns all comparisons of two databases; ids are of positions in each.
func (b *bench) sizeComparisons(ids [2][]string) []sizeComparison {
	// A figure of the large database may be worse by 15 %.
	const least, slowest = 0.85, 1.0 / 0.85

	return []sizeComparison{
		{
			Comparison: Comparison{Name: "GET one of 1000 positions", Unit: "requests/s", Goal: least},
			of: func(i int, s *subject) (contender, error) {
				return s.inLoop(someConnections, s.get(ids[i][:min(readPositions, len(ids[i]))])), nil
			},
		},
		{
			Comparison: Comparison{Name: "GET one of 10,000 positions", Unit: "requests/s", Goal: least},
			of: func(i int, s *subject) (contender, error) {
				return s.inLoop(someConnections, s.get(ids[i])), nil
			},
		},
		{
			Comparison: Comparison{Name: "p99 at 500 requests a second", Unit: "ms", Goal: slowest, AtMost: true},
			of:         func(_ int, s *subject) (contender, error) { return s.paced(), nil },
		},
		{
			Comparison: Comparison{Name: "from start to ready", Unit: "ms", Goal: 1.5, AtMost: true},
			of:         func(_ int, s *subject) (contender, error) { return b.restarting(s), nil },
		},

		// From here on, the small database grows.
		{
			Comparison: Comparison{Name: "pairs", Unit: "pairs/s", Goal: least},
			of: func(_ int, s *subject) (contender, error) {
				return s.inLoop(someConnections, s.createAndFund), nil
			},
		},
		{
			Comparison: Comparison{Name: "the server's memory", Unit: "MB", Goal: 1.2, AtMost: true},
			of:         func(_ int, s *subject) (contender, error) { return s.memory(), nil },
		},
		{
			Comparison: Comparison{Name: "positions made by batches of 200", Unit: "positions/s", Goal: least},
			of:         func(_ int, s *subject) (contender, error) { return s.inBatches() },
		},
	}
}

// restarting is a contender that restarts its server once a round. Its figure is the time from
// start to ready, in milliseconds.
func (b *bench) restarting(s *subject) contender {
	return contender{name: s.name, run: func(ctx context.Context, _ turn) (float64, load, error) {
		took, err := b.restart(ctx, s)
		return float64(took.Microseconds()) / 1000, load{}, err
	}}
}

// restart ends a subject's server and starts another, and returns how long that one took
// to be ready.
func (b *bench) restart(ctx context.Context, s *subject) (time.Duration, error) {
	if err := s.close(); err != nil {
		return 0, err
	}
	s.servers = nil

	begun := time.Now()
	err := b.addServer(ctx, s)
	return time.Since(begun), err
}

// memory is a contender whose figure is its servers' memory after pairs, in mebibytes.
func (s *subject) memory() contender {
	return contender{name: s.name, subject: s, run: func(ctx context.Context, t turn) (float64, load, error) {
		did, err := closedLoop(ctx, s.addresses(), someConnections, t, s.createAndFund)
		if err != nil {
			return unmeasured, did, err
		}
		used, err := s.usage(ctx)
		return used.memory / (1 << 20), did, err
	}}
}
