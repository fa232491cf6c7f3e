package escrow

import (
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The bounds of a position's history, so that a position with its events is a bounded
// answer. Transitions to a final state are always possible, others only within the bounds.
const (
	MaxPositionEvents = 1000
	// MaxHistoryBytes bounds the metadata and the reasons of all events together, in bytes;
	// the metadata of the position itself count as those of its creation.
	MaxHistoryBytes = 1 << 20
)

// Position is a holder's claim on an asset. At every moment
//
//	Funded = Released + Refunded + Held
//
// and no amount is negative; see CheckMoney.
type Position struct {
	ID                PositionID
	InstitutionID     InstitutionID
	AssetID           AssetID
	HolderReference   string // empty where it was erased
	ExternalReference string // empty where the client gave none, and where it was erased
	// UniqueIn is the template in which no other position has the external reference; zero
	// where others can.
	UniqueIn TemplateID
	Currency money.Currency
	Amount   money.Amount
	Funded   money.Amount
	Released money.Amount
	Refunded money.Amount
	Held     money.Amount
	// Retained is the part that a partial release must leave held.
	Retained money.Amount
	// Holds counts the holds in force. WholeHolds are those of them that are on all that is held, and HeldBack is
	// what the others are on together; see OnHold.
	Holds, WholeHolds int64
	HeldBack          money.Amount
	State             State
	Version           int64 // 1 when created, one more with each change: the number of its entries in the journal
	// HistoryBytes is what MaxHistoryBytes bounds.
	HistoryBytes int64
	ExpiresAt    *time.Time
	Metadata     Metadata
	CreatedAt    time.Time
	UpdatedAt    time.Time
	// Events are those that were asked for, oldest first: the whole history, the one event
	// of the command that is answered, or none. In the books a position has none, as no
	// command decides by them: a step costs the same after any number of others.
	Events []PositionEvent
}

// Erased reports whether what was private of the position was erased: each has a holder.
func (p Position) Erased() bool { return p.HolderReference == "" }

// PositionEvent is the creation of a position, or one of its transitions, as its entry in
// the journal tells it.
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
	// Erased says that a reason or metadata were erased.
	Erased bool
	// Approval is the one with which it was carried out; nil where it took none.
	Approval *EntryApproval
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
		currency:          faults.currency("currency", in.Currency),
	}
	command.amount = faults.amount("amount", in.Amount, command.currency)
	return command, faults
}

// Needs implements Command.
func (c CreatePosition) Needs() Needs {
	needs := Needs{Assets: []AssetID{c.asset}, Policies: true}
	if c.externalReference != "" {
		needs.References = []AssetReference{{Asset: c.asset, Text: c.externalReference}}
	}
	return needs
}

// permission implements single.
func (CreatePosition) permission() Permission { return PermissionPositionsCreate }

// The refusals come in an order that clients may rely on: the asset, the
// template's rules, the policy's, other positions.
func (c CreatePosition) decide(b *Books, r Request, s stamp) (event, *Error) {
	if refusal := checkFuture("expiresAt", c.expiresAt, s.at); refusal != nil {
		return nil, refusal
	}
	asset, ok := b.Assets.Get(c.asset)
	if !ok {
		return nil, Errorf(CodeAssetNotFound, "There is no asset %s.", c.asset)
	}
	if asset.ClosedAt != nil {
		return nil, Errorf(CodeAssetClosed, "The asset %s was closed at %s.", c.asset, FormatTime(*asset.ClosedAt))
	}

	template, _ := b.Templates.Get(asset.TemplateID)
	if refusal := template.Config.check(c.currency, c.amount); refusal != nil {
		return nil, refusal
	}
	expiresAt, refusal := template.Config.expiry(c.expiresAt, s.at)
	if refusal != nil {
		return nil, refusal
	}

	if policy, ok := b.Policies.Get(template.Region); ok {
		if refusal := policy.PositionRules.check(template.Region, c.currency, c.amount); refusal != nil {
			return nil, refusal
		}
	}
	uniqueIn, refusal := b.checkReference(template, c.externalReference, r.rights.Restriction)
	if refusal != nil {
		return nil, refusal
	}

	e := positionCreated{
		ID:                PositionID(s.id),
		AssetID:           c.asset,
		HolderReference:   textMember(c.holderReference),
		ExternalReference: textMember(c.externalReference),
		UniqueIn:          uniqueIn,
		Currency:          c.currency.Code,
		Amount:            c.amount.Format(c.currency),
		ExpiresAt:         formatOptionalTime(expiresAt),
		Metadata:          objectMember(c.metadata),
	}
	if retained := template.Config.retained(c.amount); retained > 0 {
		e.Retained = retained.Format(c.currency)
	}
	return e, nil
}

// The kinds of entry that record a position and its transitions.
const (
	KindPositionCreated      Kind = "POSITION_CREATED"
	KindPositionStateChanged Kind = "POSITION_STATE_CHANGED"
)

var positionEventKinds = slices.Concat([]eventKind{
	{kind: KindPositionCreated, decode: decodeEvent[positionCreated], ledger: true},
	{kind: KindPositionStateChanged, decode: decodeEvent[positionStateChanged], ledger: true, moves: true},
	{kind: KindPositionDataErased, decode: decodeEvent[positionDataErased]},
}, holdEventKinds)

type positionCreated struct {
	ID                PositionID    `json:"id"`
	AssetID           AssetID       `json:"assetId"`
	HolderReference   privateText   `json:"holderReference,omitzero"`
	ExternalReference privateText   `json:"externalReference,omitzero"`
	UniqueIn          TemplateID    `json:"uniqueIn,omitzero"`
	Currency          money.Code    `json:"currency"`
	Amount            string        `json:"amount"`
	Retained          string        `json:"retained,omitempty"`
	ExpiresAt         *string       `json:"expiresAt,omitempty"`
	Metadata          privateObject `json:"metadata,omitzero"`
}

// withPrivate implements personal.
func (e positionCreated) withPrivate(each func(name string, member *private)) event {
	each("holderReference", &e.HolderReference.private)
	each("externalReference", &e.ExternalReference.private)
	each("metadata", &e.Metadata.private)
	return e
}

func (e positionCreated) kind() Kind      { return KindPositionCreated }
func (e positionCreated) subject() string { return e.ID.String() }

func (e positionCreated) resource(b *Books, entry Entry) Resource {
	return positionAfter(b, e.ID, entry)
}

func (e positionCreated) apply(b *Books, entry Entry) error {
	if _, made := b.Positions.Get(e.ID); made {
		return fmt.Errorf("position %s was made before", e.ID)
	}
	step, err := e.step(entry)
	if err != nil {
		return err
	}

	var reader storedReader
	retained := reader.optionalMoney(e.Retained, e.Currency)
	if e.Retained != "" && retained.Currency != step.Currency {
		return fmt.Errorf("position %s retains %q of %q %s", e.ID, e.Retained, e.Amount, e.Currency)
	}
	p := Position{
		ID:                e.ID,
		InstitutionID:     entry.InstitutionID,
		AssetID:           e.AssetID,
		HolderReference:   e.HolderReference.value,
		ExternalReference: e.ExternalReference.value,
		UniqueIn:          e.UniqueIn,
		Currency:          step.Currency,
		Amount:            step.Amount,
		Retained:          retained.Amount,
		State:             StateCreated,
		Version:           1,
		ExpiresAt:         reader.optionalTime(e.ExpiresAt),
		HistoryBytes:      historyBytes("", e.Metadata.value),
		Metadata:          e.Metadata.metadata(),
		CreatedAt:         entry.At,
		UpdatedAt:         entry.At,
	}
	if reader.err != nil {
		return reader.err
	}
	if other, taken := b.withReference(p.reference()); taken {
		return fmt.Errorf("position %s has the external reference of %s, in the template %s", e.ID, other, e.UniqueIn)
	}
	b.Positions.Put(e.ID, p)
	b.noteReference(p)
	return nil
}

// positionAfter returns a position as the books have it, with the event of the entry that
// was applied last.
func positionAfter(b *Books, id PositionID, entry Entry) Position {
	p := b.Positions.mustGet(id)
	if _, event, ok := entry.PositionEvent(); ok {
		p.Events = []PositionEvent{event}
	}
	return p
}

// step implements positionStep.
func (e positionCreated) step(entry Entry) (PositionEvent, error) {
	var reader storedReader
	amount := reader.money(e.Amount, e.Currency)
	return PositionEvent{
		ID:       entry.ID,
		Sequence: entry.Sequence,
		Actor:    entry.Actor,
		At:       entry.At,
		To:       StateCreated,
		Currency: amount.Currency,
		Amount:   amount.Amount,
		Approval: entry.Approval,
	}, reader.err
}

// AppendJSON implements jsonwriter.Value with the event as encoding/json writes it.
func (e positionCreated) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", e.ID)
	jsonwriter.Appender(&o, "assetId", e.AssetID)

	e.HolderReference.write(&o, "holderReference")
	e.ExternalReference.write(&o, "externalReference")
	if !e.UniqueIn.IsZero() {
		jsonwriter.Appender(&o, "uniqueIn", e.UniqueIn)
	}
	o.Text("currency", string(e.Currency))
	o.Text("amount", e.Amount)
	o.OptionalText("retained", e.Retained)

	if e.ExpiresAt != nil {
		o.Text("expiresAt", *e.ExpiresAt)
	}
	e.Metadata.write(&o, "metadata")
	return o.End()
}
