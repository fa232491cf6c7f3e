package escrow

import (
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The kinds of entry that record holds. Their subject is the position: with its transitions they are its history,
// in which the order decides.
const (
	KindHoldPlaced Kind = "HOLD_PLACED"
	KindHoldLifted Kind = "HOLD_LIFTED"
)

var holdEventKinds = []eventKind{
	{kind: KindHoldPlaced, decode: decodeEvent[holdPlaced]},
	{kind: KindHoldLifted, decode: decodeEvent[holdLifted]},
}

type holdPlaced struct {
	ID     PositionID `json:"id"`
	HoldID HoldID     `json:"holdId"`
	Kind   HoldKind   `json:"kind"`
	// Currency and Amount are left out of a hold on all that the position holds.
	Currency  money.Code  `json:"currency,omitempty"`
	Amount    string      `json:"amount,omitempty"`
	ReviewAt  *string     `json:"reviewAt,omitempty"`
	Reason    privateText `json:"reason,omitzero"`
	Reference privateText `json:"reference,omitzero"`
}

// withPrivate implements personal.
func (e holdPlaced) withPrivate(each func(name string, member *private)) event {
	each("reason", &e.Reason.private)
	each("reference", &e.Reference.private)
	return e
}

func (holdPlaced) kind() Kind        { return KindHoldPlaced }
func (e holdPlaced) subject() string { return e.ID.String() }
func (e holdPlaced) rewrites() Needs { return Needs{Positions: []PositionID{e.ID}} }

func (e holdPlaced) resource(b *Books, entry Entry) Resource { return holdAfter(b, e.HoldID, entry) }

// says implements holding.
func (e holdPlaced) says() []privateText { return []privateText{e.Reason, e.Reference} }

func (e holdPlaced) apply(b *Books, entry Entry) error {
	if _, made := b.Holds.Get(e.HoldID); made {
		return fmt.Errorf("hold %s was placed before", e.HoldID)
	}
	p, ok := b.Positions.Get(e.ID)
	if !ok {
		return fmt.Errorf("there is no position %s to hold", e.ID)
	}
	if err := e.check(); err != nil {
		return err
	}
	var reader storedReader
	hold := Hold{
		ID:            e.HoldID,
		InstitutionID: entry.InstitutionID,
		PositionID:    e.ID,
		Kind:          e.Kind,
		Amount:        reader.optionalMoney(e.Amount, e.Currency),
		ReviewAt:      reader.optionalTime(e.ReviewAt),
		Placed:        entry.Sequence,
		CreatedAt:     entry.At,
	}
	if reader.err != nil {
		return reader.err
	}

	switch {
	case !hold.IsWhole() && hold.Amount.Currency != p.Currency:
		return fmt.Errorf("position %s has no amounts like %q %s", e.ID, e.Amount, e.Currency)
	case hold.IsWhole() && p.State.Final() && hold.Kind != HoldLegal:
		return fmt.Errorf("position %s is %s, which a legal hold alone can be placed on", e.ID, p.State)
	}
	p = p.withHold(hold, 1).withHistory(entry, e.Reason, e.Reference)
	if err := p.CheckMoney(); err != nil {
		return fmt.Errorf("hold %s: %w", e.HoldID, err)
	}
	b.Positions.Put(e.ID, p)
	b.Holds.Put(e.HoldID, hold)
	return nil
}

// withHold returns the position under one more hold, or one less.
func (p Position) withHold(hold Hold, count int64) Position {
	p.Holds += count
	if hold.IsWhole() {
		p.WholeHolds += count
	}
	p.HeldBack += hold.Amount.Amount * money.Amount(count)
	return p
}

// withHistory returns the position after one more entry, with what is private of that.
func (p Position) withHistory(entry Entry, members ...privateText) Position {
	for _, member := range members {
		p.HistoryBytes += historyBytes(member.value, "")
	}
	p.Version++
	p.UpdatedAt = entry.At
	return p
}

type holdLifted struct {
	ID     PositionID `json:"id"`
	HoldID HoldID     `json:"holdId"`
	Kind   HoldKind   `json:"kind"`
	// Amount is what was on hold; of a hold on all that the position holds it is the position's amount, as that
	// is the most there can be.
	Currency money.Code  `json:"currency"`
	Amount   string      `json:"amount"`
	Reason   privateText `json:"reason,omitzero"`
}

// withPrivate implements personal.
func (e holdLifted) withPrivate(each func(name string, member *private)) event {
	each("reason", &e.Reason.private)
	return e
}

func (holdLifted) kind() Kind        { return KindHoldLifted }
func (e holdLifted) subject() string { return e.ID.String() }

func (e holdLifted) rewrites() Needs {
	return Needs{Positions: []PositionID{e.ID}, Holds: []HoldID{e.HoldID}}
}

func (e holdLifted) resource(b *Books, entry Entry) Resource { return holdAfter(b, e.HoldID, entry) }

// says implements holding.
func (e holdLifted) says() []privateText { return []privateText{e.Reason} }

func (e holdLifted) apply(b *Books, entry Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	p, there := b.Positions.Get(e.ID)
	hold, ok := b.Holds.Get(e.HoldID)
	if !there || !ok || hold.PositionID != e.ID || !hold.InForce() || hold.Kind != e.Kind {
		return fmt.Errorf("position %s is under no %s hold %s", e.ID, e.Kind, e.HoldID)
	}
	if freed := hold.freed(p); e.Amount != freed.Format() || e.Currency != freed.Currency.Code {
		return fmt.Errorf("hold %s is on %s %s, and not on %q %s",
			e.HoldID, freed.Format(), freed.Currency, e.Amount, e.Currency)
	}

	p = p.withHold(hold, -1).withHistory(entry, e.Reason)
	if err := p.CheckMoney(); err != nil {
		return fmt.Errorf("hold %s: %w", e.HoldID, err)
	}
	hold.Lifted, hold.LiftedAt = entry.Sequence, &entry.At
	b.Positions.Put(e.ID, p)
	b.Holds.Put(e.HoldID, hold)
	return nil
}

// check returns an error where the entry by itself tells of no hold that there can be.
func (e holdPlaced) check() error {
	switch {
	case e.Amount == "" && e.Currency == "":
		return checkHoldOf(e.Kind, nil)
	case e.Currency == "":
		return fmt.Errorf("%q is an amount of no currency", e.Amount)
	}
	return checkHoldOf(e.Kind, &e.Amount)
}

func (e holdLifted) check() error { return checkHoldOf(e.Kind, &e.Amount) }

// checkHoldOf checks the kind and the amount of a hold, nil for one on all that the position holds.
func checkHoldOf(kind HoldKind, amount *string) error {
	if !slices.Contains(HoldKinds(), kind) {
		return fmt.Errorf("the kind of hold %q is not known", kind)
	}
	if amount == nil {
		return nil
	}
	if on, _, err := money.ParseFormatted(*amount); err != nil || on <= 0 {
		return fmt.Errorf("%q is no amount of a hold", *amount)
	}
	return nil
}

// holding is an event that places or lifts a hold.
type holding interface {
	event
	check() error
	// says returns the reason and, where there can be one, the reference.
	says() []privateText
}

// holdAfter returns a hold as the books have it, with the step of the entry that was applied last.
func holdAfter(b *Books, id HoldID, entry Entry) Hold {
	hold := b.Holds.mustGet(id)
	if step, ok := entry.HoldStep(); ok {
		hold.Steps = []HoldStep{step}
	}
	return hold
}

// CheckHold returns an error where the entry, which places or lifts a hold, by itself tells of none that there can be;
// ok is false for an entry of another kind.
func (e Entry) CheckHold() (ok bool, err error) {
	recorded, ok := e.event.(holding)
	if ok {
		err = recorded.check()
	}
	return ok, err
}

// HoldStep returns the placing or the lifting of a hold that the entry records; ok is false for an entry of
// another kind.
func (e Entry) HoldStep() (step HoldStep, ok bool) {
	recorded, ok := e.event.(holding)
	if !ok {
		return step, false
	}

	said := recorded.says()
	step = HoldStep{
		ID: e.ID, Sequence: e.Sequence, Actor: e.Actor, At: e.At, Approval: e.Approval, Reason: said[0].value,
	}
	if len(said) > 1 {
		step.Reference = said[1].value
	}
	for _, member := range said {
		step.Erased = step.Erased || member.unknown()
	}
	return step, true
}
