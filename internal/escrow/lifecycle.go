package escrow

import (
	"errors"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// State is where a position stands in its lifecycle.
type State string

// The states.
const (
	StateCreated           State = "CREATED"
	StateFunded            State = "FUNDED"
	StatePartiallyReleased State = "PARTIALLY_RELEASED"
	StateReleased          State = "RELEASED"
	StateCancelled         State = "CANCELLED"
	StateExpired           State = "EXPIRED"
)

// lifecycle is every state, with all that is particular to it; the first is that of a new
// position. States, Next, Final, what a transition moves and where money must be are readings
// of this table.
var lifecycle = []stateRules{
	{
		state:      StateCreated,
		permission: PermissionPositionsCreate,
		next:       []State{StateFunded, StateCancelled, StateExpired},
		whole:      AccountHolder,
		misplaced:  "money is there that was not funded yet",
	},
	{
		state:      StateFunded,
		permission: PermissionPositionsFund,
		next:       []State{StatePartiallyReleased, StateReleased, StateCancelled, StateExpired},
		debit:      AccountHolder,
		credit:     AccountEscrow,
		whole:      AccountEscrow,
		misplaced:  "what was funded is not held",
	},
	{
		state:      StatePartiallyReleased,
		permission: PermissionPositionsRelease,
		next:       []State{StatePartiallyReleased, StateReleased, StateCancelled, StateExpired},
		debit:      AccountEscrow,
		credit:     AccountBeneficiary,
		part:       true,
	},
	{
		state:      StateReleased,
		permission: PermissionPositionsRelease,
		debit:      AccountEscrow,
		credit:     AccountBeneficiary,
		whole:      AccountBeneficiary,
		misplaced:  "what was funded is not released",
	},
	{
		state:      StateCancelled,
		permission: PermissionPositionsCancel,
		debit:      AccountEscrow,
		credit:     AccountRefund,
	},
	{
		state:      StateExpired,
		permission: PermissionPositionsCancel,
		debit:      AccountEscrow,
		credit:     AccountRefund,
	},
}

// stateRules is a row of the lifecycle.
type stateRules struct {
	state State
	// permission is the one that it takes to bring a position there.
	permission Permission
	// next lists the states that a position can move to; a state without any is final.
	next []State
	// debit and credit are the accounts between which a transition to the state moves money:
	// all that the debited account has, or a part of it where part is set. Without them no
	// money moves.
	debit, credit Account
	part          bool
	// whole is the account that has the whole amount in this state, empty where it can be
	// divided; misplaced is what is wrong where that does not hold.
	whole     Account
	misplaced string
}

func (s State) rules() stateRules {
	for _, rules := range lifecycle {
		if rules.state == s {
			return rules
		}
	}
	return stateRules{}
}

// States lists the states in the order of the lifecycle.
func States() []State {
	states := make([]State, len(lifecycle))
	for i, rules := range lifecycle {
		states[i] = rules.state
	}
	return states
}

// OpenStates lists the states that are not final, in the order of the lifecycle.
func OpenStates() []State { return slices.DeleteFunc(States(), State.Final) }

// Next lists the states that a position can move to from this one.
func (s State) Next() []State { return s.rules().next }

// Final reports whether a position stays in the state for good.
func (s State) Final() bool { return len(s.Next()) == 0 }

// describeNext says where a position can move from a state.
func describeNext(s State) string {
	if s.Final() {
		return "the state is final"
	}
	return "it can become " + join(s.Next())
}

// describeEnds lists the final states that a position can move to from a state.
func describeEnds(s State) string {
	return join(slices.DeleteFunc(slices.Clone(s.Next()), func(next State) bool { return !next.Final() }))
}

// on returns what the position has on an account. What the holder has is what is still to
// be paid in.
func (p Position) on(a Account) money.Amount {
	switch a {
	case AccountHolder:
		return p.Amount - p.Funded
	case AccountEscrow:
		return p.Held
	case AccountBeneficiary:
		return p.Released
	case AccountRefund:
		return p.Refunded
	}
	return 0
}

// adding returns the position with an amount added to what it has on an account.
func (p Position) adding(a Account, amount money.Amount) Position {
	switch a {
	case AccountHolder:
		p.Funded -= amount
	case AccountEscrow:
		p.Held += amount
	case AccountBeneficiary:
		p.Released += amount
	case AccountRefund:
		p.Refunded += amount
	}
	return p
}

// move returns the position after the transition to a state with an amount, or
// an error where the money would not add up.
func (p Position) move(to State, amount money.Amount) (Position, error) {
	from, rules := p.State, to.rules()
	if to == lifecycle[0].state {
		return p, fmt.Errorf("no position returns to %s", to)
	}

	if rules.debit == AccountEscrow && amount > 0 && p.WholeHolds > 0 {
		return p, fmt.Errorf("%s to %s with %d: all that is held is on hold", from, to, amount)
	}
	p.State = to
	p = p.adding(rules.debit, -amount).adding(rules.credit, amount)
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
	case !p.holdsAddUp():
		return errors.New("what is on hold is not there")
	}

	rules := p.State.rules()
	switch {
	case rules.whole != "" && p.on(rules.whole) != p.Amount:
		return errors.New(rules.misplaced)
	case p.State.Final() && p.Held != 0:
		return errors.New("a final state holds money")
	case rules.part && (p.Held == 0 || p.Held < p.Retained):
		return errors.New("a partial release holds less than it must")
	}
	return nil
}

// holdsAddUp reports whether the holds are on money that the position holds, and are as many as they are of both
// sorts.
func (p Position) holdsAddUp() bool {
	partial := p.Holds - p.WholeHolds
	return p.HeldBack >= 0 && p.HeldBack <= p.Held && p.WholeHolds >= 0 && partial >= 0 &&
		(partial > 0) == (p.HeldBack > 0)
}
