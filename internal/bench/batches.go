package bench

import (
	"context"
	_ "embed" // for the script
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
)

//go:embed batch.sql
var batchScript string

const (
	// batchSize is how many positions a batch creates, batchClients how many batches are
	// sent at once.
	batchSize    = 200
	batchClients = 8
)

// batches measures how fast batches create positions.
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

	return b.compareWrites(ctx, Comparison{
		Name: "positions made by batches of 200 on PostgreSQL",
		Unit: "positions/s",
		Goal: 0.4,
	}, inPositions(floor.inLoop("one INSERT a table, by pgbench", "batch.sql", 1)), inBatches)
}

// inBatches is a contender that creates positions by batches. Its figure is in positions per
// second.
func (s *subject) inBatches() (contender, error) {
	creations, err := repeated(s.tenants[0].creation, batchSize)
	return inPositions(s.inLoop(batchClients, func(_ int, c *connection) error {
		_, err := s.createBatch(c, creations)
		return err
	})), err
}

// inPositions turns a contender's figure from batches per second into positions per second.
func inPositions(c contender) contender {
	return contender{name: c.name, subject: c.subject, run: func(ctx context.Context, t turn) (float64, load, error) {
		rate, did, err := c.run(ctx, t)
		return batchSize * rate, did, err
	}}
}

// startBatchFloor prepares a database that has the server's own tables for pgbench.
func (b *bench) startBatchFloor(ctx context.Context) (*pgbench, error) {
	database, err := b.database(ctx)
	if err != nil {
		return nil, err
	}

	//nolint:gosec // The flags say which program to measure.
	migrate := exec.CommandContext(ctx, b.config.Server, "migrate")
	migrate.Env = append(os.Environ(), "DATABASE_URL="+database)
	if output, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w: %s", err, output)
	}

	const sequences = "CREATE SEQUENCE floor_ids; CREATE SEQUENCE floor_sequence"
	return b.newPgbench(ctx, database, sequences, map[string]string{"batch.sql": batchScript})
}

// repeated returns the body of a batch that has the same item so many times.
func repeated(item []byte, times int) ([]byte, error) {
	items := make([]json.RawMessage, times)
	for i := range items {
		items[i] = item
	}
	return json.Marshal(map[string]any{"items": items})
}

// createBatch creates positions with one request, and returns their ids.
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

// fundBatch funds positions with one request.
func (s *subject) fundBatch(c *connection, ids []string) error {
	type item struct {
		PositionID string `json:"positionId"`
		ToState    string `json:"toState"`
	}
	items := make([]item, len(ids))
	for i, id := range ids {
		items[i] = item{PositionID: id, ToState: "FUNDED"}
	}
	fundings, err := json.Marshal(map[string]any{"items": items})
	if err != nil {
		return err
	}

	_, err = s.sendBatch(c, "/positions/transitions/batch", http.StatusOK, fundings)
	return err
}

// sendBatch sends a batch, and returns the ids of the positions in the answer. It returns an
// error unless every item has the given status.
func (s *subject) sendBatch(c *connection, path string, status int, body []byte) (ids []string, err error) {
	answer, err := c.expect(http.StatusOK, request{
		method:         http.MethodPost,
		path:           path,
		apiKey:         s.tenants[0].APIKey,
		idempotencyKey: s.idempotencyKey(),
		body:           body,
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
