package engine

import (
	"context"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// HolderHold asks for a hold on all that a holder's open positions hold.
type HolderHold struct {
	// Request is who asks, on which institution; it has no command and no idempotency key.
	Request         escrow.Request
	HolderReference string
	// Hold is placed on each position. It has no amount.
	Hold escrow.HoldInput
}

// HolderHolds is what became of a HolderHold.
type HolderHolds struct {
	// Placed counts the positions on which it was placed, and Before those which were under it before: a hold of the
	// same kind on all that they hold, with the same reference.
	Placed, Before int64
	// Refused are positions on which it was not placed, the first maxRefusedHolds of them.
	Refused []RefusedHold
	// Complete says that all open positions of the holder were looked at. Where not, the same request goes on.
	Complete bool
}

// RefusedHold is why a hold was not placed on a position.
type RefusedHold struct {
	Position escrow.PositionID
	Refusal  *escrow.Error
}

const (
	// heldAtOnce is how many positions are put under a hold in one transaction.
	heldAtOnce = 100
	// maxHeld bounds the positions that one request puts under a hold.
	maxHeld = 10_000
	// maxRefusedHolds bounds the refusals that a request tells of.
	maxRefusedHolds = 100
)

// HoldHolder puts a hold on all that a holder's open positions hold, a hundred of them at a time. To ask again is
// safe: it passes over positions that are under the hold. It ends early, and is not complete, after maxHeld or half of
// the time that the context leaves. The answer's Resource is HolderHolds. Errors are those of Do; what was placed
// before one stays.
func (e *Engine) HoldHolder(ctx context.Context, h HolderHold) (Answer, error) {
	// What is answered before a command is carried out is judged by no lock.
	if _, err := e.Institution(ctx, h.Request.Institution); err != nil {
		return Answer{}, err
	}
	permissions := []escrow.Permission{escrow.PermissionHoldsPlace}
	if h.Hold.Kind == string(escrow.HoldLegal) {
		permissions = append(permissions, escrow.PermissionHoldsLegal)
	}
	for _, permission := range permissions {
		if err := e.checkNow(ctx, h.Request, permission); err != nil {
			return Answer{}, err
		}
	}

	answer := Answer{RequestID: h.Request.RequestID}
	if h.Request.DryRun {
		head, _, err := e.store.Head(ctx, h.Request.Institution)
		if err != nil {
			return Answer{}, store.Failure(err)
		}
		answer.JudgedOn = &head.Sequence
	}
	found, err := e.holdAll(ctx, h)
	answer.Resource = found
	return answer, err
}

// holdAll goes through a holder's open positions for as long as it may.
func (e *Engine) holdAll(ctx context.Context, h HolderHold) (found HolderHolds, err error) {
	started := time.Now()
	page := escrow.PageRequest{Limit: heldAtOnce}
	filter := escrow.PositionFilter{HolderReference: h.HolderReference, States: escrow.OpenStates()}
	for found.Placed < maxHeld && !IsHalfOver(ctx, started) {
		positions, err := e.Positions(ctx, h.Request.Institution, filter, page)
		if err != nil {
			return found, err
		}
		if err := e.holdPage(ctx, h, positions.Items, &found); err != nil {
			return found, err
		}

		if !positions.More {
			found.Complete = true
			return found, nil
		}
		page.After = new(escrow.IDCursor(positions.Items[len(positions.Items)-1].ID))
	}
	return found, nil
}

// holdPage puts those of some positions under a hold that are not yet.
func (e *Engine) holdPage(
	ctx context.Context, h HolderHold, positions []escrow.Position, found *HolderHolds,
) error {
	held, err := e.underHold(ctx, h, positions)
	if err != nil {
		return err
	}
	var ids []escrow.PositionID
	for _, p := range positions {
		if held[p.ID] {
			found.Before++
		} else {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}

	command, faults := escrow.NewHoldBatch(ids, h.Hold)
	if err := faults.Err(); err != nil {
		return err
	}
	request := h.Request
	request.Command = command
	answer, err := e.Do(ctx, request)
	if err != nil {
		return err
	}
	results, _ := answer.Resource.(escrow.BatchResults)
	for i, result := range results {
		switch {
		case result.Refusal == nil:
			found.Placed++
		case result.Refusal.Code == escrow.CodeHoldAmount:
			// It came to its end meanwhile.
		case len(found.Refused) < maxRefusedHolds:
			found.Refused = append(found.Refused, RefusedHold{ids[i], result.Refusal})
		}
	}
	return nil
}

// underHold tells which of some positions are under a hold as it is asked for.
func (e *Engine) underHold(
	ctx context.Context, h HolderHold, positions []escrow.Position,
) (map[escrow.PositionID]bool, error) {
	var ids []escrow.PositionID
	for _, p := range positions {
		if p.WholeHolds > 0 {
			ids = append(ids, p.ID)
		}
	}

	holds, err := e.store.HoldsOn(ctx, h.Request.Institution, ids)
	if err == nil {
		err = e.store.AddHoldSteps(ctx, h.Request.Institution, holds)
	}
	if err != nil {
		return nil, err
	}

	under := make(map[escrow.PositionID]bool)
	for _, hold := range holds {
		if hold.IsWhole() && string(hold.Kind) == h.Hold.Kind && hold.Steps[0].Reference == referenceOf(h.Hold) {
			under[hold.PositionID] = true
		}
	}
	return under, nil
}

// underLegalHold tells which of some positions are under a legal hold.
func (e *Engine) underLegalHold(
	ctx context.Context, of escrow.InstitutionID, positions []escrow.Position,
) (map[escrow.PositionID]bool, error) {
	var ids []escrow.PositionID
	for _, p := range positions {
		if p.Holds > 0 {
			ids = append(ids, p.ID)
		}
	}
	holds, err := e.store.HoldsOn(ctx, of, ids)
	legal := make(map[escrow.PositionID]bool)
	for _, hold := range holds {
		legal[hold.PositionID] = legal[hold.PositionID] || hold.Kind == escrow.HoldLegal
	}
	return legal, err
}

func referenceOf(in escrow.HoldInput) string {
	if in.Reference == nil {
		return ""
	}
	return strings.TrimSpace(*in.Reference) // As it is kept.
}
