package escrow

import (
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// TransitionInput is what a client gives to move a position to another state.
type TransitionInput struct {
	ToState  string
	Amount   *money.Digits
	Reason   *string
	Metadata Metadata
}

// TransitionPosition moves a position to another state, and its money with it.
type TransitionPosition struct {
	position PositionID
	to       State
	amount   *money.Digits
	reason   string
	metadata Metadata
	// ifVersion lists the versions that the position may have; nil allows any.
	ifVersion []int64
	// ifDue refuses unless the position is past its expiresAt.
	ifDue bool
}

// NewTransitionPosition checks the input. Where ifVersion is not nil, a position
// that has none of these versions is refused with CodeVersionMismatch.
func NewTransitionPosition(
	position PositionID, in TransitionInput, ifVersion []int64,
) (TransitionPosition, Faults) {
	var faults Faults
	command := TransitionPosition{
		position:  position,
		amount:    in.Amount,
		reason:    faults.optionalText("reason", in.Reason, MaxReasonLength),
		metadata:  faults.metadata("metadata", in.Metadata),
		to:        word(&faults, "toState", in.ToState, States()),
		ifVersion: ifVersion,
	}

	switch {
	case in.Amount != nil:
		faults.check("amount", in.Amount.Check())
	case command.to.rules().part:
		faults.Add("amount", "is required to go to %s", command.to)
	}
	return command, faults
}

// ExpirePosition is the system's command for a position that is past its
// expiresAt. A position that is not due, or no longer open, refuses it.
func ExpirePosition(position PositionID) TransitionPosition {
	return TransitionPosition{position: position, to: StateExpired, reason: "expiresAt has passed", ifDue: true}
}

// Needs implements Command.
func (c TransitionPosition) Needs() Needs { return Needs{Positions: []PositionID{c.position}} }

// permission implements single.
func (c TransitionPosition) permission() Permission { return c.to.rules().permission }

// The refusals come in this order: the position, its version, its state, its
// expiry, its history, the amount, the retainage, what is on hold.
func (c TransitionPosition) decide(b *Books, _ Request, s stamp) (event, *Error) {
	p, ok := b.Positions.Get(c.position)
	if !ok {
		return nil, Errorf(CodePositionNotFound, "There is no position %s.", c.position)
	}
	if refusal := checkVersion(c.ifVersion, p.Version, "position"); refusal != nil {
		return nil, refusal
	}

	if refusal := c.checkState(p, s.at); refusal != nil {
		return nil, refusal
	}
	moved, refusal := c.moved(p)
	if refusal != nil {
		return nil, refusal
	}
	if c.to.rules().debit == AccountEscrow {
		if refusal := b.checkHolds(p, moved); refusal != nil {
			return nil, refusal
		}
	}

	e := positionStateChanged{
		ID: c.position, From: p.State, To: c.to, Currency: p.Currency.Code,
		Reason: textMember(c.reason), Metadata: objectMember(c.metadata),
	}
	if moved > 0 {
		e.Amount = moved.Format(p.Currency)
	}
	return e, nil
}

func (c TransitionPosition) checkState(p Position, now time.Time) *Error {
	overdue := p.isOverdue(now)

	switch {
	case !slices.Contains(p.State.Next(), c.to):
		return Errorf(CodeInvalidTransition,
			"A position that is %s cannot become %s; %s.", p.State, c.to, describeNext(p.State))
	case c.ifDue && !overdue:
		return Errorf(CodeInvalidTransition, "The position is not due to expire.")
	case overdue && c.to != StateExpired && c.to != StateCancelled:
		return Errorf(CodePositionExpired, "The position expired at %s; it can only become %s or %s.",
			FormatTime(*p.ExpiresAt), StateExpired, StateCancelled)
	case c.to.Final():
		return nil
	}
	return p.checkHistory(historyBytes(c.reason, string(c.metadata)))
}

// isOverdue reports whether the position is past its expiresAt.
func (p Position) isOverdue(now time.Time) bool {
	return p.ExpiresAt != nil && !now.Before(*p.ExpiresAt)
}

// checkHistory refuses one more change where the position's history would pass its bounds with so many bytes.
func (p Position) checkHistory(added int64) *Error {
	after := p.HistoryBytes + added

	switch {
	case p.Version >= MaxPositionEvents:
		return Errorf(CodePositionEventLimit,
			"The position has %d events, the most that it can have; it can only become %s.",
			p.Version, describeEnds(p.State))
	case after > MaxHistoryBytes:
		return Errorf(CodePositionHistoryLimit,
			"The metadata and reasons of the position's events would have %d bytes together, of at most %d; "+
				"leave them out, or go to %s.", after, MaxHistoryBytes, describeEnds(p.State))
	}
	return nil
}

// historyBytes is what an event adds to Position.HistoryBytes.
func historyBytes(reason, metadata string) int64 { return int64(len(reason) + len(metadata)) }

// moved returns how much money the transition moves. Only a partial release
// leaves that to the client; elsewhere an amount that was given must agree.
func (c TransitionPosition) moved(p Position) (money.Amount, *Error) {
	rules := c.to.rules()
	whole := p.on(rules.debit)
	if c.amount == nil {
		return whole, nil
	}

	amount, err := money.ParseAmount(string(*c.amount), p.Currency)
	switch {
	case err != nil:
		return 0, invalid("amount", "%s", err)
	case rules.part:
		return amount, checkPartial(p, amount)
	case amount != whole:
		return 0, Errorf(CodeTransitionAmount,
			"The transition to %s moves the whole %s %s: give this amount, or leave the amount out.",
			c.to, whole.Format(p.Currency), p.Currency)
	}
	return amount, nil
}

func checkPartial(p Position, amount money.Amount) *Error {
	switch {
	case amount > p.Held:
		return Errorf(CodeTransitionAmount, "The amount exceeds the %s %s that are held.",
			p.Held.Format(p.Currency), p.Currency)
	case amount == p.Held:
		return Errorf(CodeTransitionAmount,
			"A partial release must leave something of the %s %s that are held; to release all, go to %s.",
			p.Held.Format(p.Currency), p.Currency, StateReleased)
	case p.Held-amount < p.Retained:
		return Errorf(CodeTemplateRetainage, "Of the %s %s that are held, %s stay retained until %s.",
			p.Held.Format(p.Currency), p.Currency, p.Retained.Format(p.Currency), StateReleased)
	}
	return nil
}

type positionStateChanged struct {
	ID       PositionID    `json:"id"`
	From     State         `json:"fromState"`
	To       State         `json:"toState"`
	Currency money.Code    `json:"currency"`
	Amount   string        `json:"amount,omitempty"`
	Reason   privateText   `json:"reason,omitzero"`
	Metadata privateObject `json:"metadata,omitzero"`
}

// withPrivate implements personal.
func (e positionStateChanged) withPrivate(each func(name string, member *private)) event {
	each("reason", &e.Reason.private)
	each("metadata", &e.Metadata.private)
	return e
}

func (e positionStateChanged) kind() Kind      { return KindPositionStateChanged }
func (e positionStateChanged) subject() string { return e.ID.String() }

func (e positionStateChanged) rewrites() Needs { return Needs{Positions: []PositionID{e.ID}} }

func (e positionStateChanged) resource(b *Books, entry Entry) Resource {
	return positionAfter(b, e.ID, entry)
}

func (e positionStateChanged) apply(b *Books, entry Entry) error {
	p, ok := b.Positions.Get(e.ID)
	if !ok || p.State != e.From {
		return fmt.Errorf("position %s is not %s", e.ID, e.From)
	}
	step, err := e.step(entry)
	if err != nil {
		return err
	}
	if p.Currency.Code != e.Currency || e.Amount != "" && p.Currency != step.Currency {
		return fmt.Errorf("position %s has no amounts like %q %s", e.ID, e.Amount, e.Currency)
	}
	if entry.Actor == ActorSystem() && e.To == StateExpired && !p.isOverdue(entry.At) {
		return fmt.Errorf("position %s is not due to expire, and the system does so", e.ID)
	}
	if p, err = p.move(e.To, step.Amount); err != nil {
		return err
	}

	p.HistoryBytes += historyBytes("", e.Metadata.value)
	b.Positions.Put(e.ID, p.withHistory(entry, e.Reason))
	b.noteMove(entry, e.To, step)
	return nil
}

// step implements positionStep.
func (e positionStateChanged) step(entry Entry) (PositionEvent, error) {
	var reader storedReader
	moved := reader.optionalMoney(e.Amount, e.Currency)

	return PositionEvent{
		ID:       entry.ID,
		Sequence: entry.Sequence,
		Actor:    entry.Actor,
		At:       entry.At,
		From:     e.From,
		To:       e.To,
		Currency: moved.Currency,
		Amount:   moved.Amount,
		Reason:   e.Reason.value,
		Metadata: e.Metadata.metadata(),
		Erased:   e.Reason.unknown() || e.Metadata.unknown(),
		Approval: entry.Approval,
	}, reader.err
}

// AppendJSON implements jsonwriter.Value with the event as encoding/json writes it.
func (e positionStateChanged) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", e.ID)
	o.Text("fromState", string(e.From))
	o.Text("toState", string(e.To))
	o.Text("currency", string(e.Currency))
	o.OptionalText("amount", e.Amount)
	e.Reason.write(&o, "reason")
	e.Metadata.write(&o, "metadata")
	return o.End()
}
