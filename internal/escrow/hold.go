package escrow

import (
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// HoldKind says what a hold rests on.
type HoldKind string

// The kinds of hold.
const (
	// HoldLegal is a court's or an authority's. It also keeps the position's data from erasure, and so
	// it can be placed on a position that is final.
	HoldLegal HoldKind = "LEGAL"
	// HoldCompliance is the institution's own, while it looks into something.
	HoldCompliance HoldKind = "COMPLIANCE"
)

// HoldKinds lists the kinds of hold.
func HoldKinds() []HoldKind { return []HoldKind{HoldLegal, HoldCompliance} }

// MaxOpenHolds bounds the holds that a position is under at the same time: a person can tell so many apart,
// and a refusal names them all.
const MaxOpenHolds = 50

// Hold keeps money where it is: an amount of what a position holds, or all that it holds, then and later.
type Hold struct {
	ID            HoldID
	InstitutionID InstitutionID
	PositionID    PositionID
	Kind          HoldKind
	// Amount is what is on hold; zero for all that the position holds.
	Amount money.Money
	// ReviewAt is when somebody means to look at it again. Nothing happens then by itself.
	ReviewAt *time.Time
	// Placed and Lifted are the sequences of the entries that placed and lifted it; Lifted is 0 while it is
	// in force.
	Placed, Lifted int64
	CreatedAt      time.Time
	LiftedAt       *time.Time
	// Steps are those that were asked for, the placing first: both, the one of the command that is answered,
	// or none.
	Steps []HoldStep
}

// HoldStep is the placing or the lifting of a hold, as its entry tells it.
type HoldStep struct {
	ID       EntryID
	Sequence int64
	Actor    Actor
	At       time.Time
	// Reason and Reference are empty where they were erased; a lifting has no reference.
	Reason, Reference string
	Erased            bool
	// Approval is the one with which it was carried out; nil where it took none.
	Approval *EntryApproval
}

// InForce reports whether the hold was not lifted.
func (h Hold) InForce() bool { return h.Lifted == 0 }

// IsWhole reports whether the hold is on all that the position holds.
func (h Hold) IsWhole() bool { return h.Amount.Amount == 0 }

// Version is 1 while the hold is in force, and 2 after it was lifted.
func (h Hold) Version() int64 {
	if h.InForce() {
		return 1
	}
	return 2
}

// OnHold is the part of what the position holds that is under holds.
func (p Position) OnHold() money.Amount {
	if p.WholeHolds > 0 {
		return p.Held
	}
	return p.HeldBack
}

// Available is the part of what the position holds that is under no hold. What is retained is in it.
func (p Position) Available() money.Amount { return p.Held - p.OnHold() }

// checkHolds refuses to take an amount from what a position holds where that is on hold, and names the holds
// as far as the books have them.
func (b *Books) checkHolds(p Position, amount money.Amount) *Error {
	if amount <= p.Available() {
		return nil
	}
	names := make([]string, 0, p.Holds)
	for _, hold := range b.holdsOn(p.ID) {
		names = append(names, string(hold.Kind)+" "+hold.ID.String())
	}
	return Errorf(CodePositionOnHold, "Of the %s %s that are held, %s are on hold: %s.",
		p.Held.Format(p.Currency), p.Currency, p.OnHold().Format(p.Currency), join(names))
}

// holdsOn returns the holds in force on a position that the books have, the oldest first.
func (b *Books) holdsOn(position PositionID) (holds []Hold) {
	for _, hold := range b.Holds.All() {
		if hold.PositionID == position && hold.InForce() {
			holds = append(holds, hold)
		}
	}
	slices.SortFunc(holds, func(a, b Hold) int { return a.ID.Compare(b.ID) })
	return holds
}

// legalHoldsOn returns the legal holds in force on a position that the books have.
func (b *Books) legalHoldsOn(p Position) (legal []string) {
	if p.Holds == 0 {
		return nil
	}
	for _, hold := range b.holdsOn(p.ID) {
		if hold.Kind == HoldLegal {
			legal = append(legal, hold.ID.String())
		}
	}
	return legal
}

// HoldInput is what a client gives to place a hold.
type HoldInput struct {
	Kind      string
	Amount    *money.Digits
	Reason    string
	Reference *string
	ReviewAt  *string
}

// PlaceHold puts a hold on what a position holds. It never waits for an approval: to keep money where it is
// takes no second pair of eyes.
type PlaceHold struct {
	position  PositionID
	kind      HoldKind
	amount    *money.Digits
	reason    string
	reference string
	reviewAt  *time.Time
	ifVersion []int64
}

// NewPlaceHold checks the input. The reason is required; without an amount, all is on hold that the position
// holds. The versions are those that the position may have; nil is any.
func NewPlaceHold(position PositionID, in HoldInput, ifVersion []int64) (PlaceHold, Faults) {
	var faults Faults
	command := PlaceHold{
		position:  position,
		kind:      word(&faults, "kind", in.Kind, HoldKinds()),
		amount:    in.Amount,
		reason:    faults.reason("reason", in.Reason),
		reference: faults.optionalText("reference", in.Reference, MaxTextLength),
		reviewAt:  faults.optionalTime("reviewAt", in.ReviewAt),
		ifVersion: ifVersion,
	}
	if in.Amount != nil {
		faults.check("amount", in.Amount.Check())
	}
	return command, faults
}

// NewHoldBatch makes a batch that places a hold on all that each of 1 to MaxBatchItems positions holds, as far
// as each allows it. What is wrong with the input is a fault.
func NewHoldBatch(positions []PositionID, in HoldInput) (PositionBatch, Faults) {
	batch := PositionBatch{items: make([]batchItem, len(positions))}
	var faults Faults
	for i, position := range positions {
		batch.items[i].command, faults = NewPlaceHold(position, in, nil)
	}
	return batch, faults
}

// Needs implements Command.
func (c PlaceHold) Needs() Needs { return Needs{Positions: []PositionID{c.position}} }

// permission implements single.
func (PlaceHold) permission() Permission { return PermissionHoldsPlace }

// The refusals come in this order: the position, its version, the permission for legal holds, the time of
// review, how many there are, the position's history, the amount.
func (c PlaceHold) decide(b *Books, r Request, s stamp) (event, *Error) {
	p, ok := b.Positions.Get(c.position)
	if !ok {
		return nil, Errorf(CodePositionNotFound, "There is no position %s.", c.position)
	}
	if refusal := checkVersion(c.ifVersion, p.Version, "position"); refusal != nil {
		return nil, refusal
	}
	if refusal := checkLegal(r.rights, c.kind); refusal != nil {
		return nil, refusal
	}
	if refusal := checkFuture("reviewAt", c.reviewAt, s.at); refusal != nil {
		return nil, refusal
	}
	if p.Holds >= MaxOpenHolds {
		return nil, Errorf(CodeHoldLimit, "The position is under %d holds, which is the most.", p.Holds)
	}
	if c.kind != HoldLegal {
		if refusal := p.checkHistory(historyBytes(c.reason, c.reference)); refusal != nil {
			return nil, refusal
		}
	}
	amount, refusal := c.amountOn(p)
	if refusal != nil {
		return nil, refusal
	}

	e := holdPlaced{
		ID:        c.position,
		HoldID:    HoldID(s.id),
		Kind:      c.kind,
		ReviewAt:  formatOptionalTime(c.reviewAt),
		Reason:    textMember(c.reason),
		Reference: textMember(c.reference),
	}
	if amount > 0 {
		e.Currency, e.Amount = p.Currency.Code, amount.Format(p.Currency)
	}
	return e, nil
}

// amountOn returns the amount that is to be on hold, 0 for all that the position holds, or refuses it.
func (c PlaceHold) amountOn(p Position) (money.Amount, *Error) {
	free := p.Held - p.HeldBack
	if c.amount == nil {
		if p.State.Final() && c.kind != HoldLegal {
			return 0, Errorf(CodeHoldAmount,
				"The position is %s and holds nothing; a %s hold can keep its data.", p.State, HoldLegal)
		}
		return 0, nil
	}

	amount, err := money.ParseAmount(string(*c.amount), p.Currency)
	switch {
	case err != nil:
		return 0, invalid("amount", "%s", err)
	case amount > free:
		return 0, Errorf(CodeHoldAmount,
			"The position holds %s %s of which no amount is on hold; leave the amount out to hold all of it.",
			free.Format(p.Currency), p.Currency)
	}
	return amount, nil
}

// checkLegal refuses a legal hold to whoever has no permission for these.
func checkLegal(rights Rights, kind HoldKind) *Error {
	if kind == HoldLegal && !rights.Permissions.Has(PermissionHoldsLegal) {
		return missing(PermissionHoldsLegal)
	}
	return nil
}

// LiftHold ends a hold.
type LiftHold struct {
	position PositionID
	hold     HoldID
	reason   string
}

// NewLiftHold checks the input; the reason is required.
func NewLiftHold(position PositionID, hold HoldID, reason string) (LiftHold, Faults) {
	var faults Faults
	return LiftHold{position: position, hold: hold, reason: faults.reason("reason", reason)}, faults
}

// Needs implements Command.
func (c LiftHold) Needs() Needs {
	return Needs{Positions: []PositionID{c.position}, Holds: []HoldID{c.hold}}
}

// permission implements single.
func (LiftHold) permission() Permission { return PermissionHoldsLift }

// The refusals come in this order: the position, the hold, the permission for legal holds, that it was lifted.
// Whatever the position's history, it can be lifted.
func (c LiftHold) decide(b *Books, r Request, _ stamp) (event, *Error) {
	p, ok := b.Positions.Get(c.position)
	if !ok {
		return nil, Errorf(CodePositionNotFound, "There is no position %s.", c.position)
	}
	hold, ok := b.Holds.Get(c.hold)
	if !ok || hold.PositionID != c.position {
		return nil, Errorf(CodeHoldNotFound, "There is no hold %s on %s.", c.hold, c.position)
	}
	if refusal := checkLegal(r.rights, hold.Kind); refusal != nil {
		return nil, refusal
	}
	if !hold.InForce() {
		return nil, Errorf(CodeHoldLifted, "The hold was lifted at %s.", FormatTime(*hold.LiftedAt))
	}

	freed := hold.freed(p)
	return holdLifted{
		ID:       c.position,
		HoldID:   c.hold,
		Kind:     hold.Kind,
		Currency: freed.Currency.Code,
		Amount:   freed.Format(),
		Reason:   textMember(c.reason),
	}, nil
}

// freed is what the hold keeps where it is, at most: its amount, or that of the position.
func (h Hold) freed(p Position) money.Money {
	if h.IsWhole() {
		return money.Money{Amount: p.Amount, Currency: p.Currency}
	}
	return h.Amount
}
