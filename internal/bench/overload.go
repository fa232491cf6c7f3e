package bench

import (
	"context"
	"errors"
	"fmt"
)

// instances measures servers that share a database, with all load on one institution
// and with load on many.
func (b *bench) instances(ctx context.Context) error {
	for _, spread := range []struct {
		name    string
		tenants int
	}{{"one institution", 1}, {"20 institutions", 20}} {
		var contenders []contender
		for _, servers := range []int{1, 3} {
			s, err := b.open(ctx, setup{store: onPostgreSQL, servers: servers, tenants: spread.tenants})
			if err != nil {
				return err
			}
			s.name = fmt.Sprintf("%d servers", servers)
			contenders = append(contenders, inLoop(s.name, s.addresses(), manyConnections, s, s.pair))
		}
		err := b.compareWrites(ctx, Comparison{Name: "pairs by servers on one PostgreSQL, " + spread.name + ", 200 connections", Unit: "pairs/s"}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	// overloadQueue bounds the commands that wait, overloadConnections is more than
	// them: what is refused is to be seen, not only what waits.
	overloadQueue       = "QUEUE_SIZE=4096"
	overloadConnections = 5000
	overloadFactor      = 2
	// overloadTime is in rounds.
	overloadTime = 7
)

// overload finds out how many positions a second serve best, and offers twice as many.
func (b *bench) overload(ctx context.Context) error {
	for _, store := range b.stores() {
		s, err := b.open(ctx, setup{store: store, environment: []string{overloadQueue}})
		if err != nil {
			return err
		}
		if err := b.overloadOn(ctx, store, s); err != nil {
			return err
		}
		if err := s.account(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) overloadOn(ctx context.Context, store string, s *subject) error {
	knee, most, err := b.findKnee(ctx, store, s)
	if err != nil {
		return err
	}
	offered := func(name string, rate float64, connections, rounds int) contender {
		return contender{name, s, func(ctx context.Context, t turn) (float64, load, error) {
			did, err := openLoop(ctx, s.addresses(), connections, rate, t.times(rounds), s.one)
			return did.rate(), did, err
		}}
	}
	overload := offered("twice that", overloadFactor*knee, overloadConnections, overloadTime)
	err = b.compare(ctx, Comparison{Name: "positions made at the knee and at twice as many, " + store, Unit: "positions/s", Goal: 0.9},
		offered(fmt.Sprintf("%.0f a second asked for", knee), knee, manyConnections, 1), overload)
	if err != nil {
		return err
	}
	err = b.compare(ctx, Comparison{Name: "positions made at all, while twice as many are asked for, " + store, Unit: "positions/s"},
		inLoop("one after the other", s.addresses(), manyConnections, s, s.one),
		offered(fmt.Sprintf("%.0f a second asked for", overloadFactor*most), overloadFactor*most, overloadConnections, 1))
	if err != nil {
		return err
	}
	calm := func(ctx context.Context, t turn) (float64, load, error) {
		return p99(openLoop(ctx, s.addresses(), manyConnections, knee/2, t, s.one))
	}
	return b.compare(ctx, Comparison{Name: "p99 at half the knee, around an overload, " + store, Unit: "ms"},
		contender{"before", s, calm},
		contender{"right after", s, func(ctx context.Context, t turn) (float64, load, error) {
			if _, err := openLoop(ctx, s.addresses(), overloadConnections, overloadFactor*knee, t, s.one); err != nil {
				return 0, load{}, err
			}
			return calm(ctx, t)
		}})
}

// one makes one position.
func (s *subject) one(worker int, c *connection) error {
	_, err := s.create(worker, c)
	return err
}

// errNoKnee says that a server finished nothing in its turns, so that there is no rate of
// which the others are parts.
var errNoKnee = errors.New("the knee cannot be measured: nothing was finished in a turn")

// findKnee returns the most positions that can be made in a second, and the knee: how
// many of them, in steps of a tenth, are to be asked for in a second so that the power
// of the load is greatest, its throughput by its mean latency (Kleinrock, "Power and
// Deterministic Rules of Thumb for Probabilistic Problems in Computer Communications",
// ICC 1979).
func (b *bench) findKnee(ctx context.Context, store string, s *subject) (knee, most float64, err error) {
	all, err := closedLoop(ctx, s.addresses(), manyConnections, b.config.turn(), s.one)
	if err != nil {
		return 0, 0, err
	}
	if most = all.rate(); most == unmeasured {
		return 0, 0, errNoKnee
	}
	var power float64
	for tenths := 1; tenths <= 10; tenths++ {
		b.progress.say("find the knee, "+store, fmt.Sprintf("step %d of 10", tenths))
		rate := most * float64(tenths) / 10
		did, err := openLoop(ctx, s.addresses(), manyConnections, rate, b.config.turn(), s.one)
		if err != nil {
			return 0, 0, err
		}
		if reached := did.rate() / did.latency.Mean(); reached > power {
			knee, power = rate, reached
		}
	}
	b.progress.done()
	if knee == 0 {
		return 0, 0, errNoKnee
	}
	return knee, most, nil
}
