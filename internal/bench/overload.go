package bench

import (
	"context"
	"errors"
	"fmt"
)

const (
	// overloadQueue bounds the commands that wait. More connections than that make the server
	// refuse commands.
	overloadQueue       = "QUEUE_SIZE=4096"
	overloadConnections = 5000
	// overloadFactor is how many times the knee, or the most that a server can do, is asked for.
	overloadFactor = 2
	// overloadTime is how long the overload lasts, in turns.
	overloadTime = 7
)

// overload finds the knee of a server, and offers twice as much load.
func (b *bench) overload(ctx context.Context) error {
	for _, store := range b.stores() {
		s, err := b.open(ctx, setup{store: store, environment: []string{overloadQueue}})
		if err != nil {
			return err
		}
		if err := b.overloadOn(ctx, store, s); err != nil {
			return err
		}
		if err := s.checkLedger(ctx); err != nil {
			return err
		}
	}
	return nil
}

// overloadOn compares what a server does at its knee with what it does under overload.
func (b *bench) overloadOn(ctx context.Context, store string, s *subject) error {
	knee, most, err := b.findKnee(ctx, store, s)
	if err != nil {
		return err
	}

	err = b.compare(ctx, Comparison{
		Name: "positions made at the knee and at twice as many, " + store,
		Unit: "positions/s",
		Goal: 0.9,
	},
		s.offered(fmt.Sprintf("%.0f a second asked for", knee), knee, manyConnections, 1),
		s.offered("twice that", overloadFactor*knee, overloadConnections, overloadTime))
	if err != nil {
		return err
	}

	asked := overloadFactor * most
	err = b.compare(ctx, Comparison{
		Name: "positions made at all, while twice as many are asked for, " + store,
		Unit: "positions/s",
	},
		inLoop("one after the other", s.addresses(), manyConnections, s, s.createOne),
		s.offered(fmt.Sprintf("%.0f a second asked for", asked), asked, overloadConnections, 1))
	if err != nil {
		return err
	}

	return b.recovery(ctx, store, s, knee)
}

// recovery compares latency at half the knee before an overload with that right after it.
func (b *bench) recovery(ctx context.Context, store string, s *subject, knee float64) error {
	calm := func(ctx context.Context, t turn) (float64, load, error) {
		return p99(openLoop(ctx, s.addresses(), manyConnections, knee/2, t, s.createOne))
	}
	afterOverload := func(ctx context.Context, t turn) (float64, load, error) {
		_, err := openLoop(ctx, s.addresses(), overloadConnections, overloadFactor*knee, t, s.createOne)
		if err != nil {
			return unmeasured, load{}, err
		}
		return calm(ctx, t)
	}

	return b.compare(ctx, Comparison{
		Name: "p99 at half the knee, around an overload, " + store,
		Unit: "ms",
	},
		contender{name: "before", subject: s, run: calm},
		contender{name: "right after", subject: s, run: afterOverload})
}

// offered is a contender that is asked to create positions at a rate per second, for so many
// turns. Its figure is in positions per second.
func (s *subject) offered(name string, rate float64, connections, turns int) contender {
	return contender{name: name, subject: s, run: func(ctx context.Context, t turn) (float64, load, error) {
		did, err := openLoop(ctx, s.addresses(), connections, rate, t.times(turns), s.createOne)
		return did.rate(), did, err
	}}
}

// createOne creates a position.
func (s *subject) createOne(worker int, c *connection) error {
	_, err := s.create(worker, c)
	return err
}

// errNoKnee says that a server finished nothing in a turn.
var errNoKnee = errors.New("the knee cannot be measured: nothing was finished in a turn")

// findKnee returns the most positions that a server can create per second, and its knee: the
// rate, in steps of a tenth of the most, at which the power of the load is greatest, which is its
// throughput divided by its mean latency (Kleinrock, "Power and Deterministic Rules of Thumb for
// Probabilistic Problems in Computer Communications", ICC 1979).
func (b *bench) findKnee(ctx context.Context, store string, s *subject) (knee, most float64, err error) {
	all, err := closedLoop(ctx, s.addresses(), manyConnections, b.config.turn(), s.createOne)
	if err != nil {
		return 0, 0, err
	}
	if most = all.rate(); most == unmeasured {
		return 0, 0, errNoKnee
	}

	var greatest float64
	for tenths := 1; tenths <= 10; tenths++ {
		b.progress.say("find the knee, "+store, fmt.Sprintf("step %d of 10", tenths))
		rate := most * float64(tenths) / 10
		did, err := openLoop(ctx, s.addresses(), manyConnections, rate, b.config.turn(), s.createOne)
		if err != nil {
			return 0, 0, err
		}
		if power := did.rate() / did.latency.Mean(); power > greatest {
			knee, greatest = rate, power
		}
	}
	b.progress.done()

	if knee == 0 {
		return 0, 0, errNoKnee
	}
	return knee, most, nil
}
