package bench

import (
	"context"
	"net/http"
)

// readPositions is how many positions are read in turn.
const readPositions = 1000

// reads measures how many positions per second are read.
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

		floor := b.floor.inLoop(someConnections, b.floor.get)
		err = b.compare(ctx, Comparison{
			Name: "GET a position on " + store + ", 50 connections",
			Unit: "requests/s",
			Goal: 0.5,
		}, floor, s.inLoop(someConnections, s.get(ids)))
		if err != nil {
			return err
		}
		err = b.compare(ctx, Comparison{
			Name: "GET an unchanged position (304) on " + store + ", 50 connections",
			Unit: "requests/s",
		}, floor, s.inLoop(someConnections, s.getUnchanged(ids)))
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

// getUnchanged is work that asks whether the next of some positions has changed since it was
// funded.
func (s *subject) getUnchanged(ids []string) work {
	return func(_ int, c *connection) error {
		r := s.reading(ids)
		r.ifNoneMatch = `"2"`
		_, err := c.expect(http.StatusNotModified, r)
		return err
	}
}

// reading is a request for the next of some positions.
func (s *subject) reading(ids []string) request {
	next := int(s.requests.Add(1)) % len(ids)
	return request{
		method: http.MethodGet,
		path:   "/positions/" + ids[next],
		apiKey: s.tenants[0].APIKey,
	}
}
