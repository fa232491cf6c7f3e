package bench

import (
	"context"
	"fmt"
	"net/http"
)

// The numbers of connections that are measured: those of a pool of clients, and
// of several.
const (
	someConnections = 50
	manyConnections = 200
)

// pairs measures positions that are made and funded, as fast as it goes.
func (b *bench) pairs(ctx context.Context) error {
	const unit = "pairs/s"
	embedded, err := b.open(ctx, setup{store: onSQLite})
	if err != nil {
		return err
	}
	err = b.compareWrites(ctx, Comparison{Name: "pairs on SQLite, 50 connections", Unit: unit, Goal: 0.22},
		inLoop("net/http floor", b.floor.addresses, someConnections, nil, b.floor.pair),
		inLoop(embedded.name, embedded.addresses(), someConnections, embedded, embedded.pair))
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
	}{{someConnections, 1.6}, {manyConnections, 2.8}} {
		server, err := b.open(ctx, setup{store: onPostgreSQL})
		if err != nil {
			return err
		}
		err = b.compareWrites(ctx, Comparison{Name: fmt.Sprintf("pairs on PostgreSQL, %d connections", at.connections), Unit: unit, Goal: at.goal},
			floor.inLoop("pgbench floor", "pair.sql", at.connections),
			inLoop(server.name, server.addresses(), at.connections, server, server.pair))
		if err != nil {
			return err
		}
	}
	return nil
}

// log measures what the transparency log takes from the writes that it follows.
func (b *bench) log(ctx context.Context) error {
	for _, store := range b.stores() {
		var contenders []contender
		for _, follows := range []struct{ name, interval string }{{"without it", "24h"}, {"with it", "1s"}} {
			s, err := b.open(ctx, setup{store: store, environment: []string{"CHECKPOINT_INTERVAL=" + follows.interval}})
			if err != nil {
				return err
			}
			contenders = append(contenders, inLoop(follows.name, s.addresses(), someConnections, s, s.pair))
		}
		err := b.compareWrites(ctx, Comparison{Name: "pairs while the transparency log follows, " + store + ", 50 connections", Unit: "pairs/s", Goal: 0.95}, contenders...)
		if err != nil {
			return err
		}
	}
	return nil
}

// traces measures what spans take, with a collector that takes them and keeps nothing.
func (b *bench) traces(ctx context.Context) error {
	for _, store := range b.stores() {
		for _, traced := range []struct {
			requests, share string
			goal            float64
		}{{"one request in a hundred", "0.01", 0.95}, {"every request", "1", 0}} {
			untraced, err := b.open(ctx, setup{store: store})
			if err != nil {
				return err
			}
			s, err := b.open(ctx, setup{store: store, environment: []string{
				"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + b.floor.addresses[0],
				"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=" + traced.share,
			}})
			if err != nil {
				return err
			}
			err = b.compareWrites(ctx, Comparison{Name: "pairs while " + traced.requests + " is traced, " + store + ", 50 connections", Unit: "pairs/s", Goal: traced.goal},
				inLoop("none is", untraced.addresses(), someConnections, untraced, untraced.pair),
				inLoop(traced.requests+" is", s.addresses(), someConnections, s, s.pair))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// pacedRate is the arrival of requests, in a second, at which latency is measured.
const pacedRate = 500

// paced measures latency below saturation.
func (b *bench) paced(ctx context.Context) error {
	floor, err := b.startPgbench(ctx)
	if err != nil {
		return err
	}
	server, err := b.open(ctx, setup{store: onPostgreSQL})
	if err != nil {
		return err
	}
	return b.compareWrites(ctx, Comparison{Name: "p99 at 500 requests a second on PostgreSQL, one institution", Unit: "ms", Goal: 3, AtMost: true},
		contender{"one INSERT by pgbench", nil, func(ctx context.Context, t turn) (float64, load, error) {
			return p99(floor.run(ctx, "insert.sql", someConnections, pacedRate, t))
		}},
		server.paced())
}

// paced is a contender to which requests come at the paced rate. Its figure is their p99.
func (s *subject) paced() contender {
	// Arrivals are of pairs' halves: a position is made, or the one before is funded.
	made := make(chan string, 2*pacedRate)
	half := func(worker int, c *connection) error {
		select {
		case id := <-made:
			return s.fund(worker, c, id)
		default:
		}
		id, err := s.create(worker, c)
		if err == nil {
			made <- id
		}
		return err
	}
	return contender{s.name, s, func(ctx context.Context, t turn) (float64, load, error) {
		return p99(openLoop(ctx, s.addresses(), someConnections, pacedRate, t, half))
	}}
}

// readPositions is how many positions are read in turn.
const readPositions = 1000

// reads measures reading positions.
func (b *bench) reads(ctx context.Context) error {
	for _, store := range b.stores() {
		s, err := b.open(ctx, setup{store: store})
		if err != nil {
			return err
		}
		ids, err := b.fill(ctx, s, readPositions)
		if err != nil {
			return err
		}
		floor := inLoop("net/http floor", b.floor.addresses, someConnections, nil, b.floor.get)
		unchanged := func(_ int, c *connection) error {
			r := s.reading(ids)
			r.ifNoneMatch = `"2"`
			_, err := c.expect(http.StatusNotModified, r)
			return err
		}
		err = b.compare(ctx, Comparison{Name: "GET a position on " + store + ", 50 connections", Unit: "requests/s", Goal: 0.5},
			floor, inLoop(s.name, s.addresses(), someConnections, s, s.get(ids)))
		if err != nil {
			return err
		}
		err = b.compare(ctx, Comparison{Name: "GET an unchanged position (304) on " + store + ", 50 connections", Unit: "requests/s"},
			floor, inLoop(s.name, s.addresses(), someConnections, s, unchanged))
		if err != nil {
			return err
		}
	}
	return nil
}

// get is work that reads the next of some positions.
func (s *subject) get(ids []string) work {
	return func(_ int, c *connection) error {
		_, err := c.expect(http.StatusOK, s.reading(ids))
		return err
	}
}

// reading is a request for the next of some positions.
func (s *subject) reading(ids []string) request {
	next := int(s.requests.Add(1)) % len(ids)
	return request{method: http.MethodGet, path: "/positions/" + ids[next], apiKey: s.tenants[0].APIKey}
}
