package bench

import (
	"context"
	_ "embed" // for the script
	"encoding/json"
	"fmt"
	"os/exec"
)

//go:embed batch.sql
var batchScript string

const (
	// batchSize is how many positions a batch makes, batchClients how many batches are
	// sent at once.
	batchSize    = 200
	batchClients = 8
)

// batches measures positions that are made by batches.
func (b *bench) batches(ctx context.Context) error {
	floor, err := b.startBatchFloor(ctx)
	if err != nil {
		return err
	}
	server, err := b.open(ctx, setup{store: onPostgreSQL})
	if err != nil {
		return err
	}
	inBatches, err := server.inBatches()
	if err != nil {
		return err
	}
	return b.compareWrites(ctx, Comparison{Name: "positions made by batches of 200 on PostgreSQL", Unit: "positions/s", Goal: 0.4},
		inPositions(floor.inLoop("one INSERT a table, by pgbench", "batch.sql", 1)),
		inBatches)
}

// inBatches is a contender that makes positions by batches. Its figure is in positions.
func (s *subject) inBatches() (contender, error) {
	creations, err := repeated(s.tenants[0].creation, batchSize)
	return inPositions(inLoop(s.name, s.addresses(), batchClients, s, func(_ int, c *connection) error {
		_, err := s.createBatch(c, creations)
		return err
	})), err
}

// inPositions is a contender whose pieces of work are batches.
func inPositions(c contender) contender {
	return contender{c.name, c.subject, func(ctx context.Context, t turn) (float64, load, error) {
		rate, did, err := c.run(ctx, t)
		return batchSize * rate, did, err
	}}
}

// startBatchFloor makes a database with the server's tables.
func (b *bench) startBatchFloor(ctx context.Context) (*pgbench, error) {
	database, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	migrate := exec.CommandContext(ctx, b.config.Server, "migrate", "--database-url="+database) //nolint:gosec // Whoever measures says which.
	if output, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w: %s", err, output)
	}
	return b.newPgbench(ctx, database, "CREATE SEQUENCE floor_ids; CREATE SEQUENCE floor_sequence", map[string]string{"batch.sql": batchScript})
}

// repeated is the body of a batch with so many times the same item.
func repeated(item []byte, times int) ([]byte, error) {
	items := make([]json.RawMessage, times)
	for i := range items {
		items[i] = item
	}
	return json.Marshal(map[string]any{"items": items})
}
