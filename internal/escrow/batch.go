package escrow

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// MaxBatchItems bounds the items of a PositionBatch: what one transaction does in
// a moment, and one answer holds.
const MaxBatchItems = 1000

// PositionBatch is a command composed of others: each of its items makes a
// position or moves one to another state, in their order, with an entry of its own.
// Later items see what earlier ones did.
type PositionBatch struct {
	items []batchItem
	// atomic asks for all items or none.
	atomic bool
}

// batchItem is a command, or the refusal of an input of which none could be made.
type batchItem struct {
	command single
	refusal *Error
}

// NewCreationBatch makes a batch of new positions. What is wrong with an item's
// input is that item's refusal; the faults are about their number, which must be 1 to
// MaxBatchItems.
func NewCreationBatch(items []PositionInput, atomic bool) (PositionBatch, Faults) {
	return newBatch(items, atomic, func(in PositionInput) (single, Faults) { return NewCreatePosition(in) })
}

// TransitionItem is what a client gives to move one of several positions to
// another state.
type TransitionItem struct {
	PositionID string
	TransitionInput
	// IfVersion is the version that the position must have; nil allows any.
	IfVersion *int64
}

// NewTransitionBatch makes a batch of transitions. Faults are as for
// NewCreationBatch. Items may be of the same position.
func NewTransitionBatch(items []TransitionItem, atomic bool) (PositionBatch, Faults) {
	return newBatch(items, atomic, newTransitionItem)
}

func newTransitionItem(in TransitionItem) (single, Faults) {
	var faults Faults
	position := requiredID[positionKind](&faults, "positionId", in.PositionID)

	var ifVersion []int64
	if in.IfVersion != nil {
		ifVersion = []int64{*in.IfVersion}
	}

	command, found := NewTransitionPosition(position, in.TransitionInput, ifVersion)
	faults.Merge(found)
	return command, faults
}

func newBatch[I any](items []I, atomic bool, build func(I) (single, Faults)) (PositionBatch, Faults) {
	var faults Faults
	if len(items) == 0 || len(items) > MaxBatchItems {
		faults.Add("items", "must be an array of 1 to %d objects", MaxBatchItems)
		return PositionBatch{}, faults
	}

	batch := PositionBatch{items: make([]batchItem, len(items)), atomic: atomic}
	for i, item := range items {
		command, faults := build(item)
		batch.items[i] = batchItem{command: command, refusal: faults.refusal()}
	}
	return batch, nil
}

// Needs implements Command.
func (c PositionBatch) Needs() Needs {
	var needs Needs
	for _, item := range c.items {
		if item.refusal == nil {
			needs.add(item.command.Needs())
		}
	}
	return needs
}

// ItemResult is what became of one item of a batch: a position as it was right
// after it, without events, or the refusal.
type ItemResult struct {
	Position Position
	Refusal  *Error
}

// BatchResults is the Resource of a PositionBatch: what became of each
// of its items, in their order.
type BatchResults []ItemResult

// Refusals returns the refusals of the items.
func (r BatchResults) Refusals() ItemRefusals {
	refusals := make(ItemRefusals, len(r))
	for i, result := range r {
		refusals[i] = result.Refusal
	}
	return refusals
}

// executeBatch carries a batch out. An atomic batch with a refused item leaves the books
// as they were, but all of its items are tried, so that all refusals are reported at once.
func (b *Books) executeBatch(r Request, batch PositionBatch, s Stamp) (Outcome, error) {
	if !batch.atomic {
		results, err := b.executeItems(r, batch.items, s, nil)
		return Outcome{Resource: results, Sequence: b.Head.Sequence}, err
	}

	before := b.save()
	results, err := b.executeItems(r, batch.items, s, nil)
	if err != nil {
		return Outcome{}, err
	}

	refusals := results.Refusals()
	if refused := len(refusals) - len(refusals.Accepted()); refused > 0 {
		b.rollBack(before)
		return Outcome{Refusal: batchRefused(refusals, refused)}, nil
	}
	b.release()
	return Outcome{Resource: results, Sequence: b.Head.Sequence}, nil
}

func batchRefused(items ItemRefusals, refused int) *Error {
	refusal := Errorf(CodeBatchRefused, "Refused items: %d of %d. Nothing was done; see results.", refused, len(items))
	refusal.Items = items
	return refusal
}

// executeItems carries out one item after the other. Each has random bits of its
// own, derived from the stamp's, so that the stamp still tells all that happens. Before each that is not
// refused at once it calls a function that may be nil.
func (b *Books) executeItems(r Request, items []batchItem, s Stamp, before func(single)) (BatchResults, error) {
	results := make(BatchResults, len(items))
	random := randomOf(s)

	for i, item := range items {
		// Also an item that is refused takes its bits: those of the others do not depend on it.
		bits := [2]uint64{random.Uint64(), random.Uint64()}
		if refusal := b.checkItem(r.rights, item); refusal != nil {
			results[i].Refusal = refusal
			continue
		}
		if before != nil {
			before(item.command)
		}

		outcome, err := b.execute(r, item.command, b.nextMoment(s.Now),
			Stamp{Now: s.Now, Random: bits, Secret: s.Secret.OfItem(i)})
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		results[i] = itemResult(outcome)
	}
	return results, nil
}

// randomOf returns further random bits for what is made of one stamp.
func randomOf(s Stamp) *rand.Rand {
	return rand.New(rand.NewPCG(s.Random[0], s.Random[1])) //nolint:gosec // Ids are no secrets.
}

// checkItem refuses an item that no command could be made of, or that is not for the actor.
func (b *Books) checkItem(rights Rights, item batchItem) *Error {
	if item.refusal != nil {
		return item.refusal
	}
	return b.checkRestriction(rights, item.command)
}

func itemResult(outcome Outcome) ItemResult {
	position, _ := outcome.Resource.(Position)
	position.Events = nil
	return ItemResult{Position: position, Refusal: outcome.Refusal}
}

// ItemRefusals holds, for each item of a batch in order, why it was refused;
// nil where it was not.
type ItemRefusals []*Error

// Accepted returns the places of the items that were not refused. Their entries
// follow each other in the journal without a gap.
func (r ItemRefusals) Accepted() []int {
	var places []int
	for i, refusal := range r {
		if refusal == nil {
			places = append(places, i)
		}
	}
	return places
}

// storedRefusals is ItemRefusals as a record keeps them: most items are accepted,
// and need no place of their own.
type storedRefusals struct {
	Items   int            `json:"items"`
	Refused map[int]*Error `json:"refused,omitempty"`
}

// MarshalJSON implements json.Marshaler: the number of items, and the refusals by
// their places.
func (r ItemRefusals) MarshalJSON() ([]byte, error) {
	stored := storedRefusals{Items: len(r), Refused: make(map[int]*Error)}
	for i, refusal := range r {
		if refusal != nil {
			stored.Refused[i] = refusal
		}
	}
	return json.Marshal(stored)
}

// UnmarshalJSON implements json.Unmarshaler; see MarshalJSON.
func (r *ItemRefusals) UnmarshalJSON(text []byte) error {
	var stored storedRefusals
	if err := json.Unmarshal(text, &stored); err != nil {
		return fmt.Errorf("refusals of a batch: %w", err)
	}
	if stored.Items < 1 || stored.Items > MaxBatchItems {
		return fmt.Errorf("refusals of a batch: %d items", stored.Items)
	}

	*r = make(ItemRefusals, stored.Items)
	for i, refusal := range stored.Refused {
		if i < 0 || i >= stored.Items {
			return fmt.Errorf("refusals of a batch: item %d of %d", i, stored.Items)
		}
		(*r)[i] = refusal
	}
	return nil
}
