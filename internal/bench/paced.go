package bench

import "context"

// pacedRate is how many requests arrive per second while latency is measured.
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

	inserts := contender{name: "one INSERT by pgbench", run: func(ctx context.Context, t turn) (float64, load, error) {
		return p99(floor.run(ctx, "insert.sql", someConnections, pacedRate, t))
	}}
	return b.compareWrites(ctx, Comparison{
		Name:   "p99 at 500 requests a second on PostgreSQL, one institution",
		Unit:   "ms",
		Goal:   3,
		AtMost: true,
	}, inserts, server.paced())
}

// paced is a contender to which requests arrive at the paced rate. Its figure is their p99, in
// milliseconds.
func (s *subject) paced() contender {
	// Each arrival is half a pair: it funds a position that an earlier one created, or else
	// creates one.
	created := make(chan string, 2*pacedRate)
	half := func(worker int, c *connection) error {
		select {
		case id := <-created:
			return s.fund(worker, c, id)
		default:
		}

		id, err := s.create(worker, c)
		if err == nil {
			created <- id
		}
		return err
	}
	return contender{name: s.name, subject: s, run: func(ctx context.Context, t turn) (float64, load, error) {
		return p99(openLoop(ctx, s.addresses(), someConnections, pacedRate, t, half))
	}}
}
