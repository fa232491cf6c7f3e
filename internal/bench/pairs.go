package bench

import (
	"context"
	"fmt"
)

// The numbers of connections in use: those of one pool of clients, and those of several.
const (
	someConnections = 50
	manyConnections = 200
)

// pairs measures how many positions per second are created and funded, as fast as it goes.
func (b *bench) pairs(ctx context.Context) error {
	embedded, err := b.open(ctx, setup{store: onSQLite})
	if err != nil {
		return err
	}
	err = b.compareWrites(ctx, Comparison{
		Name: "pairs on SQLite, 50 connections",
		Unit: "pairs/s",
		Goal: 0.22,
	},
		b.floor.inLoop(someConnections, b.floor.createAndFund),
		embedded.inLoop(someConnections, embedded.createAndFund))
	if err != nil || b.config.PostgreSQL == "" {
		return err
	}

	floor, err := b.startPgbench(ctx)
	if err != nil {
		return err
	}
	for _, at := range []struct {
		connections int
		goal        float64
	}{
		{connections: someConnections, goal: 1.6},
		{connections: manyConnections, goal: 2.8},
	} {
		server, err := b.open(ctx, setup{store: onPostgreSQL})
		if err != nil {
			return err
		}
		err = b.compareWrites(ctx, Comparison{
			Name: fmt.Sprintf("pairs on PostgreSQL, %d connections", at.connections),
			Unit: "pairs/s",
			Goal: at.goal,
		},
			floor.inLoop("pgbench floor", "pair.sql", at.connections),
			server.inLoop(at.connections, server.createAndFund))
		if err != nil {
			return err
		}
	}
	return nil
}

// transparencyLog measures how much the transparency log slows the writes that it follows.
func (b *bench) transparencyLog(ctx context.Context) error {
	for _, store := range b.stores() {
		var contenders []contender
		for _, follows := range []struct{ name, interval string }{
			{name: "without it", interval: "24h"},
			{name: "with it", interval: "1s"},
		} {
			s, err := b.open(ctx, setup{
				name:        follows.name,
				store:       store,
				environment: []string{"CHECKPOINT_INTERVAL=" + follows.interval},
			})
			if err != nil {
				return err
			}
			contenders = append(contenders, s.inLoop(someConnections, s.createAndFund))
		}

		err := b.compareWrites(ctx, Comparison{
			Name: "pairs while the transparency log follows, " + store + ", 50 connections",
			Unit: "pairs/s",
			Goal: 0.95,
		}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}

// traced is how many requests a server traces.
type traced struct {
	requests, share string
	goal            float64
}

// traces measures how much tracing slows a server, with a collector that takes the spans and keeps
// none.
func (b *bench) traces(ctx context.Context) error {
	for _, store := range b.stores() {
		for _, t := range []traced{
			{requests: "one request in a hundred", share: "0.01", goal: 0.95},
			{requests: "every request", share: "1", goal: 0},
		} {
			if err := b.tracesOn(ctx, store, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// tracesOn compares a server that traces requests with one that traces none.
func (b *bench) tracesOn(ctx context.Context, store string, t traced) error {
	without, err := b.open(ctx, setup{name: "none is", store: store})
	if err != nil {
		return err
	}
	with, err := b.open(ctx, setup{
		name:  t.requests + " is",
		store: store,
		environment: []string{
			"OTEL_TRACES_EXPORTER=otlp",
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.floor.addresses[0],
			"OTEL_TRACES_SAMPLER=traceidratio",
			"OTEL_TRACES_SAMPLER_ARG=" + t.share,
		},
	})
	if err != nil {
		return err
	}

	return b.compareWrites(ctx, Comparison{
		Name: "pairs while " + t.requests + " is traced, " + store + ", 50 connections",
		Unit: "pairs/s",
		Goal: t.goal,
	},
		without.inLoop(someConnections, without.createAndFund),
		with.inLoop(someConnections, with.createAndFund))
}
