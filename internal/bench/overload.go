package bench

import (
	"context"
	"fmt"
	"time"
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
			s, err := b.open(ctx, onPostgreSQL, servers, spread.tenants)
			if err != nil {
				return err
			}
			s.name = fmt.Sprintf("%d servers", servers)
			contenders = append(contenders, inLoop(s.name, s.addresses(), manyConnections, s, s.pair))
		}
		err := b.compare(ctx, Comparison{Name: "pairs by servers on one PostgreSQL, " + spread.name + ", 200 connections", Unit: "pairs/s"}, contenders...)
		if err != nil {
			return err
		}
		for _, c := range contenders {
			if err := c.subject.account(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	// overloadConnections is more than the requests that a server lets wait.
	overloadConnections = 5000
	overloadFactor      = 2
	// overloadTime is in rounds.
	overloadTime = 7
)

// overload finds out how many positions can be made in a second, and offers twice as
// many.
func (b *bench) overload(ctx context.Context) error {
	for _, store := range b.stores() {
		s, err := b.open(ctx, store, 1, 1)
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
	create := func(worker int, c *connection) error {
		_, err := s.create(worker, c)
		return err
	}
	most := inLoop("as many as it can", s.addresses(), manyConnections, s, create)
	knee, _, err := most.run(ctx, b.config.Duration)
	if err != nil {
		return err
	}
	offer := func(ctx context.Context, rate float64, connections int, duration time.Duration) (load, error) {
		return openLoop(ctx, s.addresses(), connections, rate, duration, create)
	}
	err = b.compare(ctx, Comparison{Name: "positions made while twice as many are asked for, " + store, Unit: "positions/s", Goal: 0.9},
		most, contender{"twice as many", s, func(ctx context.Context, d time.Duration) (float64, load, error) {
			did, err := offer(ctx, overloadFactor*knee, overloadConnections, overloadTime*d)
			return did.rate(), did, err
		}})
	if err != nil {
		return err
	}
	calm := func(ctx context.Context, d time.Duration) (float64, load, error) {
		did, err := offer(ctx, knee/2, manyConnections, d)
		if err != nil {
			return 0, did, err
		}
		return float64(did.latency.ValueAtQuantile(99)) / 1000, did, nil
	}
	return b.compare(ctx, Comparison{Name: "p99 at half of what it can, " + store, Unit: "ms"},
		contender{"before an overload", s, calm},
		contender{"right after one", s, func(ctx context.Context, d time.Duration) (float64, load, error) {
			if _, err := offer(ctx, overloadFactor*knee, overloadConnections, d); err != nil {
				return 0, load{}, err
			}
			return calm(ctx, d)
		}})
}
