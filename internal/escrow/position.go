package escrow

import (
	"errors"
	"fmt"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// MaxPositionEvents bounds a position's history: the steps to a final state are
// always possible, a partial release only below the bound. It is what keeps a
// position with its events a bounded answer.
const MaxPositionEvents = 1000

// Position is a holder's claim on an asset. At every moment
//
//	Funded = Released + Refunded + Held
//
// and no amount is negative.
type Position struct {
	ID                PositionID
	InstitutionID     InstitutionID
	AssetID           AssetID
	HolderReference   string
	ExternalReference string // empty where the client gave none
	Currency          money.Currency
	Amount            money.Amount
	Funded            money.Amount
	Released          money.Amount
	Refunded          money.Amount
	Held              money.Amount
	// Retained is the part that a partial release must leave held.
	Retained  money.Amount
	State     State
	Version   int64 // 1 when created, one more with each step
	ExpiresAt *time.Time
	Metadata  Metadata
	CreatedAt time.Time
	UpdatedAt time.Time
	// Events is the position's history, oldest first, where it was asked for.
	Events []PositionEvent
}

// PositionEvent is one step of a position's life, as its entry in the journal
// tells it.
type PositionEvent struct {
	ID       EntryID
	Sequence int64
	Actor    Actor
	At       time.Time
	From     State // empty for the creation
	To       State
	Currency money.Currency
	Amount   money.Amount // what moved; 0 where nothing did
	Reason   string
	Metadata Metadata
}

// PositionInput is what a client gives to make a position.
type PositionInput struct {
	AssetID           string
	HolderReference   string
	Currency          string
	Amount            money.Digits
	ExternalReference *string
	ExpiresAt         *string
	Metadata          Metadata
}

// CreatePosition makes a position on an asset.
type CreatePosition struct {
	asset             AssetID
	holderReference   string
	externalReference string
	currency          money.Currency
	amount            money.Amount
	expiresAt         *time.Time
	metadata          Metadata
}

// NewCreatePosition checks the input.
func NewCreatePosition(in PositionInput) (CreatePosition, Faults) {
	var faults Faults
	command := CreatePosition{
		asset:             requiredID[assetKind](&faults, "assetId", in.AssetID),
		holderReference:   faults.text("holderReference", in.HolderReference),
		externalReference: faults.optionalText("externalReference", in.ExternalReference, MaxTextLength),
		expiresAt:         faults.optionalTime("expiresAt", in.ExpiresAt),
		metadata:          faults.metadata("metadata", in.Metadata),
	}
	var err error
	command.currency, err = money.ParseCurrency(in.Currency)
	faults.check("currency", err)
	command.amount, err = parseNewAmount(in.Amount, command.currency)
	faults.check("amount", err)
	return command, faults
}

// parseNewAmount reads a required amount as far as it can: without a currency
// only its form is known to be right.
func parseNewAmount(digits money.Digits, c money.Currency) (money.Amount, error) {
	if digits == "" {
		return 0, errors.New("is required")
	}
	if c == "" {
		return 0, digits.Check()
	}
	return money.ParseAmount(string(digits), c)
}

// Needs implements Command.
func (c CreatePosition) Needs() Needs {
	return Needs{Assets: []AssetID{c.asset}, Policies: true}
}

// The refusals come in an order that clients may rely on: the asset, the
// template's rules, the policy's.
func (c CreatePosition) decide(b *Books, _ Request, s stamp) (event, error) {
	if err := checkFuture("expiresAt", c.expiresAt, s.at); err != nil {
		return nil, err
	}
	asset, ok := b.Assets.Get(c.asset)
	if !ok {
		return nil, Errorf(CodeAssetNotFound, "There is no asset %s.", c.asset)
	}
	template, _ := b.Templates.Get(asset.TemplateID)
	if err := template.Config.check(c.currency, c.amount); err != nil {
		return nil, err
	}
	expiresAt, err := template.Config.expiry(c.expiresAt, s.at)
	if err != nil {
		return nil, err
	}
	if policy, ok := b.Policies.Get(template.Region); ok {
		if err := policy.PositionRules.check(template.Region, c.currency, c.amount); err != nil {
			return nil, err
		}
	}
	e := positionCreated{
		ID: PositionID(s.id), AssetID: c.asset,
		HolderReference: c.holderReference, ExternalReference: c.externalReference,
		Currency: c.currency, Amount: c.amount.Format(c.currency),
		ExpiresAt: formatOptionalTime(expiresAt), Metadata: c.metadata,
	}
	if retained := template.Config.retained(c.amount); retained > 0 {
		e.Retained = retained.Format(c.currency)
	}
	return e, nil
}

type positionCreated struct {
	ID                PositionID     `json:"id"`
	AssetID           AssetID        `json:"assetId"`
	HolderReference   string         `json:"holderReference"`
	ExternalReference string         `json:"externalReference,omitempty"`
	Currency          money.Currency `json:"currency"`
	Amount            string         `json:"amount"`
	Retained          string         `json:"retained,omitempty"`
	ExpiresAt         *string        `json:"expiresAt,omitempty"`
	Metadata          Metadata       `json:"metadata,omitempty"`
}

func (e positionCreated) kind() Kind      { return KindPositionCreated }
func (e positionCreated) subject() string { return e.ID.String() }

func (e positionCreated) resource(b *Books) Resource { return b.Positions.must(e.ID) }

func (e positionCreated) apply(b *Books, entry Entry) error {
	if _, made := b.Positions.Get(e.ID); made {
		return fmt.Errorf("position %s was made before", e.ID)
	}
	var reader storedReader
	p := Position{
		ID: e.ID, InstitutionID: entry.InstitutionID, AssetID: e.AssetID,
		HolderReference: e.HolderReference, ExternalReference: e.ExternalReference,
		Currency: e.Currency, Amount: reader.amount(e.Amount), Retained: reader.optionalAmount(e.Retained),
		State: StateCreated, Version: 1, ExpiresAt: reader.optionalTime(e.ExpiresAt),
		Metadata: e.Metadata, CreatedAt: entry.At, UpdatedAt: entry.At,
	}
	p.Events = []PositionEvent{{
		ID: entry.ID, Sequence: entry.Sequence, Actor: entry.Actor, At: entry.At, To: StateCreated,
		Currency: p.Currency, Amount: p.Amount,
	}}
	if reader.err == nil {
		b.Positions.Put(e.ID, p)
	}
	return reader.err
}

// checkFuture refuses a moment that is not after now.
func checkFuture(field string, at *time.Time, now time.Time) error {
	if at != nil && !at.After(now) {
		return invalid(field, "must be in the future")
	}
	return nil
}
