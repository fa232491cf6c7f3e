package escrow

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// RecentMoves is what somebody has moved of late, for rules with a window. It is kept in hours, and so
// counts up to an hour more than a window has. It is kept while a rule has a window, so that a window
// begins, at the earliest, with the first rule that has one.
type RecentMoves struct {
	InstitutionID InstitutionID
	// Of names a user, the operator, or the first of the keys that a key was rotated from; or it is
	// movesOfInstitution.
	Of    string
	Hours []HourMoves
}

// movesOfInstitution names what all actors of an institution have moved together.
const movesOfInstitution = "institution"

// HourMoves is what was moved within an hour with commands of one permission, in one currency.
type HourMoves struct {
	// Hour counts the hours since 1970.
	Hour       int64      `json:"hour"`
	Permission Permission `json:"permission"`
	Currency   money.Code `json:"currency"`
	// Amount has the currency's decimals.
	Amount string `json:"amount"`
}

// amount returns what was moved. What cannot be read counts as more than there can be: no rule is evaded
// by a row that is damaged.
func (m HourMoves) amount() money.Amount {
	amount, _, err := money.ParseFormatted(m.Amount)
	if err != nil {
		return math.MaxInt64
	}
	return amount
}

func hourOf(at time.Time) int64 { return at.Unix() / int64(time.Hour/time.Second) }

// since returns what was moved since a time with commands of some permissions, in a currency.
func (m RecentMoves) since(from time.Time, with []Permission, currency money.Currency) (sum money.Amount) {
	for _, moved := range m.Hours {
		if moved.Hour < hourOf(from) || moved.Currency != currency.Code || !slices.Contains(with, moved.Permission) {
			continue
		}
		sum = addCapped(sum, moved.amount())
	}
	return sum
}

// adding returns the moves with one more, and without those that no window reaches.
func (m RecentMoves) adding(at time.Time, permission Permission, moved money.Money) RecentMoves {
	oldest := hourOf(at.Add(-MaxWindow))
	hours := slices.DeleteFunc(slices.Clone(m.Hours), func(h HourMoves) bool { return h.Hour < oldest })
	one := HourMoves{Hour: hourOf(at), Permission: permission, Currency: moved.Currency.Code, Amount: moved.Format()}

	place, found := slices.BinarySearchFunc(hours, one, func(a, b HourMoves) int {
		return cmp.Or(cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.Permission, b.Permission),
			cmp.Compare(a.Currency, b.Currency))
	})
	if found {
		one.Amount = addCapped(hours[place].amount(), moved.Amount).Format(moved.Currency)
		hours[place] = one
	} else {
		hours = slices.Insert(hours, place, one)
	}
	m.Hours = hours
	return m
}

// movesOf names the moves of an actor. A key has them together with those that it was rotated from: a
// new secret begins no new window. The books must have the key.
func (b *Books) movesOf(a Actor) string {
	if key, ok := b.Keys.Get(a.Key); ok && !key.Origin.IsZero() {
		return key.Origin.String()
	}
	return a.String()
}

// noteMove notes what a transition has moved, where a rule in force has a window. Books without the
// rules, such as those of one position's history, note nothing.
func (b *Books) noteMove(entry Entry, to State, step PositionEvent) {
	moved := money.Money{Amount: step.Amount, Currency: step.Currency}
	rules, _ := b.Rules.Get(b.institutionID)
	if moved.Amount == 0 || entry.Actor == ActorSystem() || !rules.haveWindow() {
		return
	}
	for _, of := range []string{b.movesOf(entry.Actor), movesOfInstitution} {
		moves, ok := b.Moves.Get(of)
		if !ok {
			moves = RecentMoves{InstitutionID: b.institutionID, Of: of}
		}
		b.Moves.Put(of, moves.adding(entry.At, to.rules().permission, moved))
	}
}
