package escrow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// State is where a position stands in its life.
type State string

// The states. The last three are final.
const (
	StateCreated           State = "CREATED"
	StateFunded            State = "FUNDED"
	StatePartiallyReleased State = "PARTIALLY_RELEASED"
	StateReleased          State = "RELEASED"
	StateCancelled         State = "CANCELLED"
	StateExpired           State = "EXPIRED"
)

// States lists the states in the order of a position's life.
func States() []State {
	return []State{StateCreated, StateFunded, StatePartiallyReleased, StateReleased, StateCancelled, StateExpired}
}

// Next lists the states that a position can go to from this one.
func (s State) Next() []State {
	switch s {
	case StateCreated:
		return []State{StateFunded, StateCancelled, StateExpired}
	case StateFunded, StatePartiallyReleased:
		return []State{StatePartiallyReleased, StateReleased, StateCancelled, StateExpired}
	case StateReleased, StateCancelled, StateExpired:
		return nil
	}
	return nil
}

// Final reports whether a position stays in the state for good.
func (s State) Final() bool { return len(s.Next()) == 0 }

// TransitionInput is what a client gives to lead a position to another state.
type TransitionInput struct {
	ToState  string
	Amount   *money.Digits
	Reason   *string
	Metadata Metadata
}

// TransitionPosition leads a position to another state and moves its money.
type TransitionPosition struct {
	position PositionID
	to       State
	amount   *money.Digits
	reason   string
	metadata Metadata
	// ifVersion lists the versions that the position may have; nil allows any.
	ifVersion []int64
	// ifDue refuses unless the position has outlived its expiresAt.
	ifDue bool
}

// NewTransitionPosition checks the input. Where ifVersion is not nil, a position
// that has none of these versions is refused with CodeVersionMismatch.
func NewTransitionPosition(position PositionID, in TransitionInput, ifVersion []int64) (TransitionPosition, Faults) {
	var faults Faults
	command := TransitionPosition{
		position: position, amount: in.Amount, ifVersion: ifVersion,
		reason:   faults.optionalText("reason", in.Reason, MaxReasonLength),
		metadata: faults.metadata("metadata", in.Metadata),
	}
	var err error
	command.to, err = oneOf(in.ToState, States())
	faults.check("toState", err)
	switch {
	case in.Amount != nil:
		err = in.Amount.Check()
		faults.check("amount", err)
	case command.to == StatePartiallyReleased:
		faults.Add("amount", "is required to go to %s", command.to)
	}
	return command, faults
}

// ExpirePosition is the system's command for a position that has outlived its
// expiresAt. A position that is not due, or no longer open, refuses it.
func ExpirePosition(position PositionID) TransitionPosition {
	return TransitionPosition{position: position, to: StateExpired, reason: "expiresAt has passed", ifDue: true}
}

// Needs implements Command.
func (c TransitionPosition) Needs() Needs { return Needs{Positions: []PositionID{c.position}} }

// The refusals come in this order: the position, its version, its state, its
// expiry, the amount, the retainage.
func (c TransitionPosition) decide(b *Books, _ Request, s stamp) (event, error) {
	p, ok := b.Positions.Get(c.position)
	if !ok {
		return nil, Errorf(CodePositionNotFound, "There is no position %s.", c.position)
	}
	if c.ifVersion != nil && !slices.Contains(c.ifVersion, p.Version) {
		return nil, Errorf(CodeVersionMismatch, "The position has the version %d by now.", p.Version)
	}
	if err := c.checkState(p, s.at); err != nil {
		return nil, err
	}
	moved, err := c.moved(p)
	if err != nil {
		return nil, err
	}
	e := positionStateChanged{
		ID: c.position, From: p.State, To: c.to, Currency: p.Currency, Reason: c.reason, Metadata: c.metadata,
	}
	if moved > 0 {
		e.Amount = moved.Format(p.Currency)
	}
	return e, nil
}

func (c TransitionPosition) checkState(p Position, now time.Time) error {
	overdue := p.ExpiresAt != nil && !now.Before(*p.ExpiresAt)
	switch {
	case !slices.Contains(p.State.Next(), c.to):
		return Errorf(CodeInvalidTransition, "A position that is %s cannot become %s; %s.", p.State, c.to, describeNext(p.State))
	case c.ifDue && !overdue:
		return Errorf(CodeInvalidTransition, "The position is not due to expire.")
	case overdue && c.to != StateExpired && c.to != StateCancelled:
		return Errorf(CodePositionExpired, "The position expired at %s; it can only become %s or %s.",
			FormatTime(*p.ExpiresAt), StateExpired, StateCancelled)
	case len(p.Events) >= MaxPositionEvents && !c.to.Final():
		return Errorf(CodePositionEventLimit, "The position has %d events, the most that it can have; it can only become %s.",
			len(p.Events), joinStates(slices.DeleteFunc(p.State.Next(), func(s State) bool { return !s.Final() })))
	}
	return nil
}

func describeNext(s State) string {
	if s.Final() {
		return "the state is final"
	}
	return "it can become " + joinStates(s.Next())
}

func joinStates(states []State) string {
	words := make([]string, len(states))
	for i, state := range states {
		words[i] = string(state)
	}
	return strings.Join(words, ", ")
}

// moved returns how much money the transition moves. Only a partial release
// leaves that to the client; elsewhere an amount that was given must agree.
func (c TransitionPosition) moved(p Position) (money.Amount, error) {
	whole := p.Held
	if c.to == StateFunded {
		whole = p.Amount
	}
	if c.amount == nil {
		return whole, nil
	}
	amount, err := money.ParseAmount(string(*c.amount), p.Currency)
	if err != nil {
		return 0, invalid("amount", "%s", err)
	}
	if c.to == StatePartiallyReleased {
		return amount, checkPartial(p, amount)
	}
	if amount != whole {
		return 0, Errorf(CodeTransitionAmount, "To become %s moves %s %s, all or nothing: give that amount or none.",
			c.to, whole.Format(p.Currency), p.Currency)
	}
	return amount, nil
}

func checkPartial(p Position, amount money.Amount) error {
	switch {
	case amount >= p.Held:
		return Errorf(CodeTransitionAmount, "A partial release must leave something of the %s %s that are held; to release all, go to %s.",
			p.Held.Format(p.Currency), p.Currency, StateReleased)
	case p.Held-amount < p.Retained:
		return Errorf(CodeTemplateRetainage, "Of the %s %s that are held, %s stay retained until %s.",
			p.Held.Format(p.Currency), p.Currency, p.Retained.Format(p.Currency), StateReleased)
	}
	return nil
}

// move returns the position after the transition to a state with an amount, or
// an error where the money would not add up.
func (p Position) move(to State, amount money.Amount) (Position, error) {
	from := p.State
	p.State = to
	switch to {
	case StateFunded:
		p.Funded, p.Held = p.Funded+amount, p.Held+amount
	case StatePartiallyReleased, StateReleased:
		p.Held, p.Released = p.Held-amount, p.Released+amount
	case StateCancelled, StateExpired:
		p.Held, p.Refunded = p.Held-amount, p.Refunded+amount
	case StateCreated:
		return p, errors.New("no position returns to CREATED")
	}
	if err := p.CheckMoney(); err != nil {
		return p, fmt.Errorf("%s to %s with %d: %w", from, to, amount, err)
	}
	return p, nil
}

// CheckMoney returns an error where a position's amounts do not add up: where
// funded = released + refunded + held does not hold, an amount is negative, or
// money is not where the state has it.
func (p Position) CheckMoney() error {
	switch {
	case p.Amount <= 0 || p.Funded < 0 || p.Released < 0 || p.Refunded < 0 || p.Held < 0 || p.Retained < 0:
		return errors.New("an amount is negative")
	case p.Funded != p.Released+p.Refunded+p.Held:
		return errors.New("funded is not released + refunded + held")
	case p.Funded != 0 && p.Funded != p.Amount:
		return errors.New("funded is neither nothing nor the whole amount")
	case p.State == StateCreated && p.Funded != 0:
		return errors.New("money is there that was not funded yet")
	case p.State == StateFunded && p.Held != p.Amount:
		return errors.New("what was funded is not held")
	case p.State == StateReleased && p.Released != p.Amount:
		return errors.New("what was funded is not released")
	case p.State.Final() && p.Held != 0:
		return errors.New("a final state holds money")
	case p.State == StatePartiallyReleased && (p.Held == 0 || p.Held < p.Retained):
		return errors.New("a partial release holds less than it must")
	}
	return nil
}

type positionStateChanged struct {
	ID       PositionID     `json:"id"`
	From     State          `json:"fromState"`
	To       State          `json:"toState"`
	Currency money.Currency `json:"currency"`
	Amount   string         `json:"amount,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Metadata Metadata       `json:"metadata,omitempty"`
}

func (e positionStateChanged) kind() Kind      { return KindPositionStateChanged }
func (e positionStateChanged) subject() string { return e.ID.String() }

func (e positionStateChanged) resource(b *Books) Resource { return b.Positions.must(e.ID) }

func (e positionStateChanged) apply(b *Books, entry Entry) error {
	p, ok := b.Positions.Get(e.ID)
	if !ok || p.State != e.From {
		return fmt.Errorf("position %s is not %s", e.ID, e.From)
	}
	var reader storedReader
	amount := reader.optionalAmount(e.Amount)
	if reader.err != nil {
		return reader.err
	}
	p, err := p.move(e.To, amount)
	if err != nil {
		return err
	}
	p.Version++
	p.UpdatedAt = entry.At
	// Appending to a copy keeps the events that other holders of the position see.
	p.Events = append(slices.Clip(p.Events), PositionEvent{
		ID: entry.ID, Sequence: entry.Sequence, Actor: entry.Actor, At: entry.At,
		From: e.From, To: e.To, Currency: e.Currency, Amount: amount, Reason: e.Reason, Metadata: e.Metadata,
	})
	b.Positions.Put(e.ID, p)
	return nil
}
