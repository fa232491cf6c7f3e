package prototype

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// position is a position of the prototype with all that it has of it.
type position struct {
	positionRow
	events []eventRow
	asset  asset
	// steps are the transitions that it takes here.
	steps []step
	notes []Line
	// isLeftOut says that the position is not here.
	isLeftOut bool
}

// step is a transition with the amount of a partial release.
type step struct {
	event  eventRow
	amount *money.Digits
}

// importPositions imports a page of positions in one transaction, each with its transitions.
func (t *tenant) importPositions(ctx context.Context, page []positionRow) error {
	positions, err := t.withEvents(ctx, page)
	if err != nil {
		return err
	}

	var taken []*position
	var needs escrow.Needs
	for _, p := range positions {
		if out := t.prepare(p); out != nil {
			p.isLeftOut = true
			if err := t.reportLeftOut(p, *out); err != nil {
				return err
			}
			continue
		}
		taken = append(taken, p)
		needs.Assets = append(needs.Assets, p.asset.id)
		if made, ok := t.madePosition(p.ID); ok {
			needs.Positions = append(needs.Positions, made)
		}
	}

	if len(taken) > 0 {
		if err := t.makePositions(ctx, taken, needs); err != nil {
			return err
		}
	}
	if err := t.reportLedger(ctx, positions); err != nil {
		return err
	}
	t.done += int64(len(page))
	if t.config.Progress != nil {
		t.config.Progress(t.done, t.total)
	}
	return nil
}

func (t *tenant) withEvents(ctx context.Context, page []positionRow) ([]*position, error) {
	positions := make([]*position, len(page))
	ids := make([]string, len(page))
	for n, row := range page {
		positions[n], ids[n] = &position{positionRow: row}, row.ID
	}

	events, err := t.from.events(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, event := range events {
		p := positions[slices.Index(ids, event.PositionID)]
		p.events = append(p.events, event)
	}
	return positions, nil
}

func (t *tenant) madePosition(id string) (made escrow.PositionID, ok bool) {
	subject, ok := t.to.made[requestID(Positions, id)]
	if !ok {
		return made, false
	}
	return made, made.UnmarshalText([]byte(subject)) == nil
}

// prepare finds the asset of a position and the steps that it takes; the line says why it cannot
// be taken, if it cannot.
func (t *tenant) prepare(p *position) *Line {
	var taken bool
	if p.asset, taken = t.assets[p.AssetID]; !taken {
		return new(missing(Positions, p.ID, Assets, p.AssetID))
	}

	state := string(escrow.StateCreated)
	for _, event := range p.events {
		if event.FromState == nil || *event.FromState != state {
			return new(leftOut(Positions, p.ID, "events_broken", fmt.Sprintf(
				"its events do not follow each other: %s does not begin in %s", event.ID, state)))
		}
		state = event.ToState
	}
	if state != p.State {
		return new(leftOut(Positions, p.ID, "events_broken",
			fmt.Sprintf("its events lead to %s, and it is %s", state, p.State)))
	}
	return t.findSteps(p)
}

// findSteps decides which events become transitions. How much a partial release has moved is not
// in the prototype: only where everything was released afterwards is all known without it.
func (t *tenant) findSteps(p *position) *Line {
	released, known := t.config.Released[p.ID]
	unused := known
	for _, event := range p.events {
		s := step{event: event}

		switch {
		case event.ToState != string(escrow.StatePartiallyReleased):
		case unused:
			s.amount, unused = &released, false
		case !known && p.State != string(escrow.StateReleased):
			return new(leftOut(Positions, p.ID, "released_amount_unknown",
				"how much of it was released in part is not in the prototype: give the amount with --released"))
		default:
			p.notes = append(p.notes, Line{
				Kind: Events, ID: event.ID, Outcome: Replaced, Code: "no_amount",
				Message: fmt.Sprintf("the partial release of %s at %s has no amount; its money is in another release",
					p.ID, formatTime(event.At)),
			})
			continue
		}
		p.steps = append(p.steps, s)
	}
	return nil
}

func (t *tenant) reportLeftOut(p *position, line Line) error {
	if err := t.report(line); err != nil {
		return err
	}
	for _, event := range p.events {
		if err := t.report(missing(Events, event.ID, Positions, p.ID)); err != nil {
			return err
		}
	}
	return nil
}

// makePositions makes positions in a transaction, and reports on them once it is committed.
func (t *tenant) makePositions(ctx context.Context, positions []*position, needs escrow.Needs) error {
	policies, err := t.to.store.Policies(ctx, t.id)
	if err != nil {
		return err
	}

	var lines []Line
	needs.Institution, needs.Policies = true, true
	err = t.to.commit(ctx, t.id, needs, func(execute executor) error {
		lines = lines[:0]
		past := pastPolicies{executor: execute, policies: policies}
		for _, p := range positions {
			about, err := t.makePosition(past.execute, p)
			if err != nil {
				return err
			}
			lines = append(lines, about...)
		}
		return past.restore()
	})
	if err != nil {
		return err
	}
	return t.report(lines...)
}

// makePosition makes a position, as far as an earlier run has not, and returns the lines on it.
func (t *tenant) makePosition(execute executor, p *position) (lines []Line, err error) {
	id, earlier := t.madePosition(p.ID)
	if !earlier {
		made, notes, err := t.create(execute, p)
		if refusal := refusalOf(err); refusal != nil {
			p.isLeftOut = true
			lines = append(lines, leftOut(Positions, p.ID, string(refusal.Code), told(refusal)))
			for _, event := range p.events {
				lines = append(lines, missing(Events, event.ID, Positions, p.ID))
			}
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		id, lines = made.ID, notes
	}
	lines = append([]Line{{Kind: Positions, ID: p.ID, Outcome: Taken, NewID: id.String(), Earlier: earlier}}, lines...)
	lines = append(lines, p.notes...)

	for n, s := range p.steps {
		about, err := t.take(execute, p, id, s)
		if refusal := refusalOf(err); refusal != nil {
			for _, rest := range p.steps[n:] {
				lines = append(lines, leftOut(Events, rest.event.ID, string(refusal.Code),
					fmt.Sprintf("%s stays before it: %s", p.ID, told(refusal))))
			}
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		lines = append(lines, about...)
	}
	return lines, nil
}

func refusalOf(err error) *escrow.Error {
	if refusal, ok := errors.AsType[*escrow.Error](err); ok && refusal.Unwrap() == nil {
		return refusal
	}
	return nil
}

// create makes the position itself.
func (t *tenant) create(execute executor, p *position) (made escrow.Position, notes []Line, err error) {
	was := origin{
		ID:        p.ID,
		CreatedAt: formatTime(p.CreatedAt),
		UpdatedAt: formatTime(p.UpdatedAt),
		Actor:     t.actors[[2]string{p.ID, string(escrow.StateCreated)}],
	}
	reference := p.ID
	if p.ExternalReference != nil && *p.ExternalReference != "" {
		was.ExternalReference = printable(*p.ExternalReference)
		if t.config.KeepReferences {
			reference, was.ExternalReference = *p.ExternalReference, ""
		}
	}
	expiresAt, notes := t.expiry(p)

	build := func(metadata escrow.Metadata) (escrow.Command, escrow.Faults) {
		return escrow.NewCreatePosition(escrow.PositionInput{
			AssetID:           p.asset.id.String(),
			HolderReference:   p.HolderReference,
			Currency:          p.Currency,
			Amount:            digitsOf(p.Amount),
			ExternalReference: &reference,
			ExpiresAt:         expiresAt,
			Metadata:          metadata,
		})
	}
	command, more, err := withMetadata(Positions, p.ID, was, nil, build)
	if err != nil {
		return made, nil, err
	}
	resource, err := execute(Positions, p.ID, command)
	if err != nil {
		return made, nil, err
	}
	made, _ = resource.(escrow.Position)
	return made, append(notes, more...), nil
}

// digitsOf reads a NUMERIC with eight decimals: the zeros at its end say nothing.
func digitsOf(numeric string) money.Digits {
	if strings.Contains(numeric, ".") {
		numeric = strings.TrimRight(strings.TrimRight(numeric, "0"), ".")
	}
	return money.Digits(numeric)
}

// expiry returns when an open position expires whose template bounds its tenor: counted from its
// own creation, unless that is over.
func (t *tenant) expiry(p *position) (expiresAt *string, notes []Line) {
	days := p.asset.template.tenorDays
	if days == 0 || len(escrow.State(p.State).Next()) == 0 {
		return nil, nil
	}
	due := p.CreatedAt.Add(time.Duration(days) * 24 * time.Hour)
	if due.After(t.config.Now().Add(time.Minute)) {
		return new(formatTime(due)), nil
	}
	return nil, []Line{changed(Positions, p.ID, "tenor_over", fmt.Sprintf(
		"its tenor ended at %s, of which the prototype made nothing: here it expires %d days after the import",
		formatTime(due), days))}
}

// take takes a step, unless an earlier run has.
func (t *tenant) take(execute executor, p *position, id escrow.PositionID, s step) (lines []Line, err error) {
	taken := Line{Kind: Events, ID: s.event.ID, Outcome: Taken, NewID: id.String()}
	if _, taken.Earlier = t.to.made[requestID(Events, s.event.ID)]; taken.Earlier {
		return []Line{taken}, nil
	}

	was := origin{
		ID:    s.event.ID,
		At:    formatTime(s.event.At),
		Actor: t.actors[[2]string{p.ID, s.event.ToState}],
	}
	reason := s.event.Reason
	if reason != nil && strings.TrimSpace(*reason) == "" {
		reason = nil
	}
	build := func(metadata escrow.Metadata) (escrow.Command, escrow.Faults) {
		return escrow.NewTransitionPosition(id, escrow.TransitionInput{
			ToState: s.event.ToState, Amount: s.amount, Reason: reason, Metadata: metadata,
		}, nil)
	}
	if _, faults := build(nil); faults.Has("reason") {
		was.Reason, reason = printable(*reason), nil
		lines = append(lines, changed(Events, s.event.ID, "reason",
			"its reason is in its metadata, as it is none here"))
	}

	command, notes, err := withMetadata(Events, s.event.ID, was, s.event.Metadata, build)
	if err != nil {
		return nil, err
	}
	if _, err := execute(Events, s.event.ID, command); err != nil {
		return nil, err
	}
	return append(append([]Line{taken}, lines...), notes...), nil
}
