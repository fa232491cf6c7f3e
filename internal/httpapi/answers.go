package httpapi

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The bounds of positionAnswers, in positions and in bytes of one: together some 8 MB,
// or 32 MB of the largest.
const (
	maxKeptAnswers = 8192
	maxKeptAnswer  = 4096
)

// positionAnswers keeps the JSON of positions that were read. A position is what its
// last entry has made of it, so the JSON is good for as long as that is its last.
type positionAnswers struct {
	kept *lru.Cache[escrow.PositionID, positionAnswer]
}

// positionAnswer is the JSON of a position as its last entry has left it.
type positionAnswer struct {
	last    escrow.EntryID
	content []byte
}

func newPositionAnswers() positionAnswers {
	kept, err := lru.New[escrow.PositionID, positionAnswer](maxKeptAnswers)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return positionAnswers{kept: kept}
}

// json returns a position, with its events, as JSON.
func (a positionAnswers) json(p escrow.Position) ([]byte, error) {
	last := p.Events[len(p.Events)-1].ID
	if answer, ok := a.kept.Get(p.ID); ok && answer.last == last {
		return answer.content, nil
	}

	content, err := encode(viewPosition(p))
	if err == nil && len(content) <= maxKeptAnswer {
		a.kept.Add(p.ID, positionAnswer{last: last, content: content})
	}
	return content, err
}
