package httpapi

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The bounds of positionAnswers, in positions and in bytes of one: together some 8 MB,
// or 32 MB of the largest.
const (
	maxKeptAnswers = 8192
	maxKeptAnswer  = 4096
)

// positionAnswers keeps the JSON of positions that were read, with their events. A position
// is what its last entry has made of it, so the JSON is good for as long as that is its last.
type positionAnswers struct {
	kept *lru.Cache[escrow.PositionID, positionAnswer]
}

// positionAnswer is the JSON of a position as its last entry has left it: that of a version
// and a time, as the version alone would come again in a history that went back.
type positionAnswer struct {
	version   int64
	updatedAt time.Time
	content   []byte
}

func newPositionAnswers() positionAnswers {
	kept, err := lru.New[escrow.PositionID, positionAnswer](maxKeptAnswers)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return positionAnswers{kept: kept}
}

// json returns a position that was read, with its events, as JSON. Unless that is kept, the
// events are read.
func (a positionAnswers) json(c *call, p escrow.Position) ([]byte, error) {
	answer, ok := a.kept.Get(p.ID)
	if ok && answer.version == p.Version && answer.updatedAt.Equal(p.UpdatedAt) {
		return answer.content, nil
	}

	if err := c.reserveMemory(historySize(p)); err != nil {
		return nil, err
	}
	p, err := c.server.engine.WithEvents(c.context(), p)
	if err != nil {
		return nil, err
	}
	content, err := encode(viewPosition(p))
	if err == nil && len(content) <= maxKeptAnswer {
		a.kept.Add(p.ID, positionAnswer{version: p.Version, updatedAt: p.UpdatedAt, content: content})
	}
	return content, err
}
