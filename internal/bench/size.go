package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// smallSize is what the small database holds.
	smallSize = 10_000
	// batchItems is how many positions a request makes to fill a database; 1000 is
	// the most.
	batchItems = 1000
	// fillers is how many requests at once fill a database.
	fillers = 4
	// sampledPositions is how many positions, evenly spread, are read again.
	sampledPositions = 10_000
	// settleInterval is how often is looked whether PostgreSQL has settled, settleLimit
	// how long.
	settleInterval = time.Second
	settleLimit    = 30 * time.Minute
)

// size measures the same on a small and on a large database.
func (b *bench) size(ctx context.Context) error {
	for _, store := range b.stores() {
		if err := b.sizeOn(ctx, store); err != nil {
			return err
		}
	}
	return nil
}

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
		if err := b.settle(ctx, store, s); err != nil {
			return err
		}
	}
	for _, one := range b.sizeComparisons(ids) {
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
		if err := s.account(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sizeComparison is what is measured on databases of two sizes.
type sizeComparison struct {
	Comparison
	// of returns a contender on the small database, 0, or the large one, 1.
	of func(i int, s *subject) (contender, error)
}

// sizeComparisons are all of them, those that let the small database grow last; ids are
// of positions in each database.
func (b *bench) sizeComparisons(ids [2][]string) []sizeComparison {
	const most, slowest = 0.85, 1.0 / 0.85
	return []sizeComparison{
		{Comparison{Name: "GET one of 1000 positions", Unit: "requests/s", Goal: most}, func(i int, s *subject) (contender, error) {
			return inLoop(s.name, s.addresses(), someConnections, s, s.get(ids[i][:min(readPositions, len(ids[i]))])), nil
		}},
		{Comparison{Name: "GET one of 10,000 positions", Unit: "requests/s", Goal: most}, func(i int, s *subject) (contender, error) {
			return inLoop(s.name, s.addresses(), someConnections, s, s.get(ids[i])), nil
		}},
		{Comparison{Name: "p99 at 500 requests a second", Unit: "ms", Goal: slowest, AtMost: true}, func(_ int, s *subject) (contender, error) {
			return s.paced(), nil
		}},
		{Comparison{Name: "from start to ready", Unit: "ms", Goal: 1.5, AtMost: true}, func(_ int, s *subject) (contender, error) {
			return contender{s.name, nil, func(ctx context.Context, _ turn) (float64, load, error) {
				took, err := b.restart(ctx, s)
				return float64(took.Microseconds()) / 1000, load{}, err
			}}, nil
		}},
		{Comparison{Name: "pairs", Unit: "pairs/s", Goal: most}, func(_ int, s *subject) (contender, error) {
			return inLoop(s.name, s.addresses(), someConnections, s, s.pair), nil
		}},
		{Comparison{Name: "the server's memory", Unit: "MB", Goal: 1.2, AtMost: true}, func(_ int, s *subject) (contender, error) {
			return contender{s.name, s, func(ctx context.Context, t turn) (float64, load, error) {
				did, err := closedLoop(ctx, s.addresses(), someConnections, t, s.pair)
				if err != nil {
					return 0, did, err
				}
				used, err := s.usage(ctx)
				return used.memory / (1 << 20), did, err
			}}, nil
		}},
		{Comparison{Name: "positions made by batches of 200", Unit: "positions/s", Goal: most}, func(_ int, s *subject) (contender, error) {
			return s.inBatches()
		}},
	}
}

// settle waits until PostgreSQL has tidied up after the filling of a database, which in
// a database that has grown over months is long done: until autovacuum has had its
// turn and found nothing to do.
func (b *bench) settle(ctx context.Context, store string, s *subject) error {
	if store != onPostgreSQL {
		return nil
	}
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var turn float64
	if err := conn.QueryRow(ctx, "SELECT extract(epoch FROM current_setting('autovacuum_naptime')::interval)").Scan(&turn); err != nil {
		return err
	}
	idle := time.Duration(turn*float64(time.Second)) + settleInterval
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
		err := conn.QueryRow(ctx,
			"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = current_database())").Scan(&working)
		if err != nil {
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

// restart ends a subject's server and starts another, and returns how long that took
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

// fill makes and funds so many positions by batches, and returns the ids of some,
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
			ids, err := s.batch(c, creations)
			if err != nil {
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
	// What fills a database is too much to be read again one by one.
	t.since, t.created = time.Now().Add(-time.Minute), make(map[string]bool)
	return ids, nil
}

// batch makes positions with one request and funds them with another.
func (s *subject) batch(c *connection, creations []byte) ([]string, error) {
	ids, err := s.createBatch(c, creations)
	if err != nil {
		return nil, err
	}
	type item struct {
		PositionID string `json:"positionId"`
		ToState    string `json:"toState"`
	}
	items := make([]item, len(ids))
	for i, id := range ids {
		items[i] = item{id, "FUNDED"}
	}
	fundings, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return nil, err
	}
	_, err = s.sendBatch(c, "/positions/transitions/batch", http.StatusOK, fundings)
	return ids, err
}

// createBatch makes positions with one request.
func (s *subject) createBatch(c *connection, creations []byte) ([]string, error) {
	ids, err := s.sendBatch(c, "/positions/batch", http.StatusCreated, creations)
	t := &s.tenants[0]
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		t.created[id] = true
	}
	return ids, err
}

// sendBatch sends a batch of which each item must be answered with a status, and
// returns the ids of the positions.
func (s *subject) sendBatch(c *connection, path string, status int, body []byte) (ids []string, err error) {
	answer, err := c.expect(http.StatusOK, request{
		method: http.MethodPost, path: path, apiKey: s.tenants[0].APIKey, idempotencyKey: s.idempotencyKey(), body: body,
	})
	if err != nil {
		return nil, err
	}
	var answered struct {
		Results []struct {
			Status   int
			Position struct{ ID string }
		}
	}
	if err := json.Unmarshal(answer.body, &answered); err != nil {
		return nil, err
	}
	for i, result := range answered.Results {
		if result.Status != status {
			return nil, fmt.Errorf("POST %s: item %d: %d: %s", path, i, result.Status, answer.body)
		}
		ids = append(ids, result.Position.ID)
	}
	return ids, nil
}
