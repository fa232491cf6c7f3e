package escrow

import (
	"errors"
	"time"
)

// MaxMovements bounds a statement, so that it is an answer of at most some megabytes. A
// period with more has several statements.
const MaxMovements = 10_000

// Movement is a posting, with the entry of the journal that records it and the transition
// of the position whose money moved.
type Movement struct {
	Posting
	Sequence   int64
	EntryID    EntryID
	At         time.Time
	PositionID PositionID
	From, To   State
	// Reason is why, as the client gave it; it may be empty.
	Reason string
	// Actor is who has asked for it, and Approval the one with which it was carried out, nil where it took none.
	Actor    Actor
	Approval *EntryApproval
}

// Claim is whose money moves, and what it is for.
type Claim struct {
	HolderReference string
	AssetID         AssetID
	AssetLabel      string
}

// MovementOf returns what an entry of a kind moves, by its body and the private values beside
// it; ok is false where nothing moved. Most kinds move nothing, and their bodies are not read.
func MovementOf(kind Kind, body, stored []byte) (m Movement, ok bool, err error) {
	if !kind.movesMoney() {
		return Movement{}, false, nil
	}

	entry, err := ParseEntry(body, stored)
	if err != nil {
		return Movement{}, false, err
	}
	position, step, readable := entry.PositionEvent()
	if !readable {
		return Movement{}, false, errors.New("entry body: event: it is no event of a position")
	}

	m, ok = step.movement(position)
	return m, ok, nil
}

func (e PositionEvent) movement(of PositionID) (m Movement, ok bool) {
	posting, ok := e.Posting()
	return Movement{
		Posting:    posting,
		Sequence:   e.Sequence,
		EntryID:    e.ID,
		At:         e.At,
		PositionID: of,
		From:       e.From,
		To:         e.To,
		Reason:     e.Reason,
		Actor:      e.Actor,
		Approval:   e.Approval,
	}, ok
}

// Statement is an account statement: what the accounts had before a part of a journal,
// what that part moved, oldest first, and what they had after it.
type Statement struct {
	Opening   Balances
	Movements []Movement
	// Closing is Opening and all movements.
	Closing Balances
}

// NewStatement returns a statement without movements.
func NewStatement(opening Balances) Statement {
	return Statement{Opening: opening, Closing: opening.Clone()}
}

// Add adds the next movement.
func (s *Statement) Add(m Movement) {
	s.Movements = append(s.Movements, m)
	s.Closing.Add(m.Posting)
}

// Statement returns the statement of a position from its creation on, made of its events,
// all of which it must have. Its currency is in the closing balances even where nothing has
// moved yet.
func (p Position) Statement() Statement {
	var s Statement
	s.Closing.in(p.Currency)
	for _, event := range p.Events {
		if m, moves := event.movement(p.ID); moves {
			s.Add(m)
		}
	}
	return s
}
