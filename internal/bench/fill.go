package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// batchItems is how many positions a request creates to fill a database. The API takes at
	// most 1000.
	batchItems = 1000
	// fillers is how many requests at once fill a database.
	fillers = 4
	// sampledPositions is how many positions, evenly spread, are read again.
	sampledPositions = 10_000
	// settleInterval is how often a server or database is asked whether it has finished its work
	// after the filling, and settleLimit how long autovacuum may take for that.
	settleInterval = time.Second
	settleLimit    = 30 * time.Minute
)

// fill creates and funds at least so many positions by batches, and returns the ids of some,
// evenly spread.
func (b *bench) fill(ctx context.Context, s *subject, positions int) ([]string, error) {
	t := &s.tenants[0]
	size := min(batchItems, positions)
	creations, err := repeated(t.creation, size)
	if err != nil {
		return nil, err
	}

	var filled atomic.Int64
	samples := make(chan string, positions)
	every := max(1, positions/sampledPositions)
	_, err = onConnections(ctx, s.addresses(), fillers, func(_ int, c *connection, _ *recorder) error {
		for ctx.Err() == nil {
			first := int(filled.Add(int64(size))) - size
			if first >= positions {
				return nil
			}
			ids, err := s.createBatch(c, creations)
			if err != nil {
				return err
			}
			if err := s.fundBatch(c, ids); err != nil {
				return err
			}

			for i, id := range ids {
				if (first+i)%every == 0 {
					samples <- id
				}
			}
			b.progress.say("fill "+s.name, fmt.Sprintf("%d of %d positions", min(first+size, positions), positions))
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("fill: %w", err)
	}
	b.progress.done()

	close(samples)
	ids := make([]string, 0, len(samples))
	for id := range samples {
		ids = append(ids, id)
	}
	// checkLedger leaves out what fills a database, which would take it too long.
	t.since, t.created = time.Now().Add(-time.Minute), make(map[string]bool)
	return ids, nil
}

// awaitVacuum waits until PostgreSQL has tidied up after the filling of a database, as it has
// long done in one that has grown over months: until autovacuum has had its turn and found no
// work.
func (b *bench) awaitVacuum(ctx context.Context, store string, s *subject) error {
	if store != onPostgreSQL {
		return nil
	}
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	var seconds float64
	const naptime = "SELECT extract(epoch FROM current_setting('autovacuum_naptime')::interval)"
	if err := conn.QueryRow(ctx, naptime).Scan(&seconds); err != nil {
		return err
	}
	idle := time.Duration(seconds*float64(time.Second)) + settleInterval

	const workers = `SELECT EXISTS (
		SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = current_database())`
	ticker := time.NewTicker(settleInterval)
	defer ticker.Stop()
	for busy, limit := time.Now(), time.Now().Add(settleLimit); time.Since(busy) < idle; {
		b.progress.say("settle "+s.name, fmt.Sprintf("autovacuum idle for %.0f s", time.Since(busy).Seconds()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}

		var working bool
		if err := conn.QueryRow(ctx, workers).Scan(&working); err != nil {
			return err
		}
		if working {
			busy = time.Now()
		}
		if time.Now().After(limit) {
			return fmt.Errorf("autovacuum is still busy after %v", settleLimit)
		}
	}
	b.progress.done()
	return nil
}
