package store

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The list of positions by their last steps is read out of the journal, whose entries are in that
// order: an index on the time of the last step would be written with every step. The last step of a
// position is the entry of its own time, as no two entries of a journal have the same.

const (
	// stepsAtOnce is how many steps are looked at together: the positions of so many have 4 MiB at
	// most.
	stepsAtOnce = 64
	// maxSteps bounds the steps that are looked at for a page, and as many for its count: a filter may
	// match none of millions, and a position can have a thousand. It lets an unfiltered list of positions
	// with one step each be counted as exactly as any list.
	maxSteps = escrow.MaxCount
)

var (
	stepsBetween = "SELECT sequence, at, subject FROM journal_entries WHERE institution_id = $1" +
		" AND sequence > $2 AND sequence < $3 AND " + positionKinds + " ORDER BY sequence "
	stepsForward  = stepsBetween + "ASC LIMIT $4"
	stepsBackward = stepsBetween + "DESC LIMIT $4"
)

// step is an entry about a position: each of them changes it.
type step struct {
	sequence int64
	at       time.Time
	position escrow.PositionID
}

func scanStep(r row) (s step, err error) {
	var subject string
	if err = r.Scan(&s.sequence, &s.at, &subject); err == nil {
		err = s.position.UnmarshalText([]byte(subject))
	}
	return s, err
}

// steps is a part of a journal, from after one sequence to before another.
type steps struct {
	of            escrow.InstitutionID
	after, before int64
	backward      bool
}

// updatedPositions returns a page of the positions of a filter with Updated, in the order of their
// last steps. A cursor is the time of one, in microseconds.
func (s *Store) updatedPositions(
	ctx context.Context, of escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Position], error) {
	found := escrow.Page[escrow.Position]{Items: []escrow.Position{}}
	all, err := s.stepsOf(ctx, of, filter.Updated, page.Descending)
	if err != nil {
		return found, Failure(err)
	}
	rest, err := s.stepsBehind(ctx, all, page.After)
	if err != nil {
		return found, Failure(err)
	}

	size := 0
	next, unread, err := s.eachUpdated(ctx, rest, filter, func(p escrow.Position) bool {
		if len(found.Items) == page.Limit || size >= escrow.MaxPageBytes {
			found.More = true
			return false
		}
		found.Items = append(found.Items, p)
		size += len(p.Metadata)
		return true
	})
	if unread {
		found.More, found.Next = true, &next
	}

	if err == nil && page.Count {
		found.Count = new(int)
		_, found.AtLeast, err = s.eachUpdated(ctx, all, filter, func(escrow.Position) bool {
			*found.Count++
			return *found.Count <= escrow.MaxCount
		})
	}
	return found, Failure(err)
}

// stepsOf is the part of a journal that a period has.
func (s *Store) stepsOf(
	ctx context.Context, of escrow.InstitutionID, period escrow.Period, backward bool,
) (part steps, err error) {
	part = steps{of: of, before: math.MaxInt64, backward: backward}
	if period.From != nil {
		part.after, err = s.FirstSequence(ctx, of, *period.From)
		part.after--
	}
	if err == nil && period.To != nil {
		part.before, err = s.FirstSequence(ctx, of, *period.To)
	}
	return part, err
}

// stepsBehind is what follows a cursor.
func (s *Store) stepsBehind(ctx context.Context, part steps, cursor *escrow.Cursor) (steps, error) {
	if cursor == nil {
		return part, nil
	}
	seen, err := s.FirstSequence(ctx, part.of, time.UnixMicro(cursor.Sequence()))
	if part.backward {
		part.before = min(part.before, seen)
	} else {
		part.after = max(part.after, seen)
	}
	return part, err
}

// eachUpdated visits the positions whose last steps are in a part of a journal, until visit returns
// false. Where it has looked at maxSteps before the end of the part, unread is true, and next is where
// to go on.
func (s *Store) eachUpdated(
	ctx context.Context, part steps, filter escrow.PositionFilter, visit func(escrow.Position) bool,
) (next escrow.Cursor, unread bool, err error) {
	query := stepsForward
	if part.backward {
		query = stepsBackward
	}

	for left := maxSteps; ; {
		// One more than are looked at tells whether the part goes on.
		asked := min(stepsAtOnce, left+1)
		found, err := all(ctx, s.database, query,
			[]any{idArg(part.of), part.after, part.before, int64(asked)}, scanStep)
		if err != nil {
			return next, false, err
		}
		positions, err := s.positionsOf(ctx, part.of, found)
		if err != nil {
			return next, false, err
		}
		seen, err := s.sieve(ctx, part.of, filter.Within, maps.Values(positions))
		if err != nil {
			return next, false, err
		}

		for _, step := range found {
			if left == 0 {
				return next, true, nil
			}
			left--
			next = escrow.StepCursor(step.at)
			p := positions[step.position]
			if p.UpdatedAt.Equal(step.at) && filter.Matches(p) && seen(p) && !visit(p) {
				return next, false, nil
			}
			part.pass(step.sequence)
		}
		if len(found) < asked {
			return next, false, nil
		}
	}
}

// pass leaves an entry, and all before it in the order of the part, out of it.
func (p *steps) pass(sequence int64) {
	if p.backward {
		p.before = sequence
	} else {
		p.after = sequence
	}
}

// positionsOf reads the positions of some steps, each once; one that is not there is zero.
func (s *Store) positionsOf(
	ctx context.Context, of escrow.InstitutionID, found []step,
) (map[escrow.PositionID]escrow.Position, error) {
	positions := make(map[escrow.PositionID]escrow.Position, len(found))
	for _, step := range found {
		positions[step.position] = escrow.Position{}
	}
	add := func(r row) error {
		p, err := positionTable.scan(r)
		positions[p.ID] = p
		return err
	}

	ids := idArgs(slices.Collect(maps.Keys(positions)))
	byKey := statement{perRow: positionTable.byKey, perSet: positionRows.allNamed}
	return positions, s.readByIDs(ctx, of, ids, byKey, add)
}
