package engine

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// HolderErasure asks for the data of a holder to be erased.
type HolderErasure struct {
	// Request is who asks, on which institution, and under which idempotency key; it has no
	// command yet.
	Request         escrow.Request
	HolderReference string
	// Retention is how long positions and approvals are kept after their last change.
	Retention time.Duration
	// DryRun looks at them and changes nothing.
	DryRun bool
}

const (
	// erasedAtOnce is how many positions are erased in one transaction, and how many approvals are read together.
	erasedAtOnce = 100
	// maxErased bounds the positions and approvals that one request erases. Those that are kept do not
	// count: another request meets them again, and must come beyond them.
	maxErased = 10_000
)

// EraseHolder erases what is private of a holder's positions, a hundred at a time, and then of the approvals that
// ask for positions of the holder and have created none. It keeps what became of them as an Erasure, which does
// not say whose it is. It ends early, with an Erasure that is not complete, after maxErased or half of the time that
// the context leaves. Where it fails in the middle, each position and approval is whole or erased, and another one
// goes on. Errors are those of Do. A dry run answers with an Erasure that has no id.
func (e *Engine) EraseHolder(ctx context.Context, h HolderErasure) (Answer, error) {
	// What is answered before a command is carried out is judged by no lock.
	if err := e.checkNow(ctx, h.Request, escrow.PermissionPositionsErase); err != nil {
		return Answer{}, err
	}
	answer, repeated, err := e.repeated(ctx, h.Request)
	if err != nil || repeated {
		return answer, err
	}

	head, _, err := e.store.Head(ctx, h.Request.Institution)
	if err != nil {
		return Answer{}, store.Failure(err)
	}
	found, err := e.eraseAll(ctx, h)
	if err != nil {
		return Answer{}, err
	}
	if h.DryRun {
		return Answer{Resource: found, RequestID: h.Request.RequestID, JudgedOn: &head.Sequence}, nil
	}
	h.Request.Command = escrow.RecordErasure{Erasure: found}
	return e.Do(ctx, h.Request)
}

// repeated returns the answer to a request that was made before under its idempotency key.
func (e *Engine) repeated(ctx context.Context, request escrow.Request) (answer Answer, repeated bool, err error) {
	if request.Idempotency == nil {
		return Answer{}, false, nil
	}
	record, found, err := e.store.Record(ctx, request.Institution, request.Idempotency.Key)
	if err != nil || !found {
		return Answer{}, false, err
	}
	if err := record.CheckRepeated(*request.Idempotency); err != nil {
		return Answer{}, false, err
	}
	answer, err = e.replay(ctx, request.Institution, record)
	return answer, true, err
}

// eraseAll goes through a holder's positions, and then through what was asked for the holder and never made.
func (e *Engine) eraseAll(ctx context.Context, h HolderErasure) (found escrow.Erasure, err error) {
	started := time.Now()
	goesOn := func() bool {
		return found.Erased+found.ApprovalsErased < maxErased && !IsHalfOver(ctx, started)
	}
	found.Complete, err = e.erasePositions(ctx, h, &found, goesOn)
	if err == nil && found.Complete {
		found.Complete, err = e.eraseApprovals(ctx, h, &found, goesOn)
	}
	return found, err
}

// erasePositions goes through a holder's positions for as long as it may, and reports whether it has seen all.
func (e *Engine) erasePositions(
	ctx context.Context, h HolderErasure, found *escrow.Erasure, goesOn func() bool,
) (all bool, err error) {
	page := escrow.PageRequest{Limit: erasedAtOnce}
	filter := escrow.PositionFilter{HolderReference: h.HolderReference}
	for goesOn() {
		positions, err := e.Positions(ctx, h.Request.Institution, filter, page)
		if err != nil {
			return false, err
		}
		if err := e.erasePage(ctx, h, positions.Items, found); err != nil {
			return false, err
		}

		if !positions.More {
			return true, nil
		}
		page.After = new(escrow.IDCursor(positions.Items[len(positions.Items)-1].ID))
	}
	return false, nil
}

// eraseApprovals goes through the approvals that ask for positions of a holder and have created none, as
// erasePositions does through positions. Each is erased in a transaction of its own.
func (e *Engine) eraseApprovals(
	ctx context.Context, h HolderErasure, found *escrow.Erasure, goesOn func() bool,
) (all bool, err error) {
	page := escrow.PageRequest{Limit: erasedAtOnce}
	filter := escrow.ApprovalFilter{HolderReference: h.HolderReference}
	for goesOn() {
		approvals, err := e.Approvals(ctx, h.Request.Institution, filter, page)
		if err != nil {
			return false, err
		}
		for _, a := range approvals.Items {
			if !goesOn() {
				return false, nil
			}
			if err := e.eraseApproval(ctx, h, a, found); err != nil {
				return false, err
			}
			page.After = new(escrow.IDCursor(a.ID))
		}

		if !approvals.More {
			return true, nil
		}
	}
	return false, nil
}

// eraseApproval erases an approval where that can be, and counts what became of it.
func (e *Engine) eraseApproval(
	ctx context.Context, h HolderErasure, a escrow.Approval, found *escrow.Erasure,
) error {
	switch until := a.ErasableFrom(h.Retention); {
	case a.Status == escrow.ApprovalPending:
		found.ApprovalsPending++
		return nil
	case e.config.Now().Before(until):
		found.RetainApproval(until)
		return nil
	case h.DryRun:
		found.ApprovalsErased++
		return nil
	}

	command, faults := escrow.NewEraseApproval(a.ID, nil, nil, h.Retention)
	if err := faults.Err(); err != nil {
		return err
	}
	request := h.Request
	request.Command, request.Idempotency = command, nil
	switch _, err := e.Do(ctx, request); {
	case err == nil:
		found.ApprovalsErased++
	case escrow.ErrorCode(err) == escrow.CodeRetentionPeriod:
		found.RetainApproval(a.ErasableFrom(h.Retention))
	default:
		return err
	}
	return nil
}

// IsHalfOver reports whether half of the time that a context left is over.
func IsHalfOver(ctx context.Context, started time.Time) bool {
	deadline, limited := ctx.Deadline()
	return limited && time.Since(started) > deadline.Sub(started)/2
}

// erasePage erases those of some positions that can be, and counts what became of all.
func (e *Engine) erasePage(
	ctx context.Context, h HolderErasure, positions []escrow.Position, found *escrow.Erasure,
) error {
	now := e.config.Now()
	legal, err := e.underLegalHold(ctx, h.Request.Institution, positions)
	if err != nil {
		return err
	}
	var erasable []escrow.Position
	for _, p := range positions {
		switch until := p.ErasableFrom(h.Retention); {
		case !p.State.Final():
			found.Open++
		case legal[p.ID]:
			found.OnHold++
		case now.Before(until):
			found.Retain(until)
		default:
			erasable = append(erasable, p)
		}
	}
	if h.DryRun || len(erasable) == 0 {
		found.Erased += int64(len(erasable))
		return nil
	}

	ids := make([]escrow.PositionID, len(erasable))
	for i, p := range erasable {
		ids[i] = p.ID
	}
	request := h.Request
	request.Command, request.Idempotency = escrow.NewErasureBatch(ids, h.Retention), nil
	answer, err := e.Do(ctx, request)
	if err != nil {
		return err
	}

	results, _ := answer.Resource.(escrow.BatchResults)
	for i, result := range results {
		switch {
		case result.Refusal == nil:
			found.Erased++
		case result.Refusal.Code == escrow.CodeRetentionPeriod:
			found.Retain(erasable[i].ErasableFrom(h.Retention))
		case result.Refusal.Code == escrow.CodeUnderLegalHold:
			found.OnHold++
		default:
			return result.Refusal
		}
	}
	return nil
}
