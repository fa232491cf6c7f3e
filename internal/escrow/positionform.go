package escrow

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

var positionFormTypes = []formType{
	{"position.create", decodeForm[createPositionForm]},
	{"position.transition", decodeForm[transitionForm]},
	{"positions.batch", decodeForm[batchForm]},
}

type createPositionForm struct {
	typed

	AssetID           AssetID       `json:"assetId"`
	HolderReference   privateText   `json:"holderReference,omitzero"`
	ExternalReference privateText   `json:"externalReference,omitzero"`
	Currency          money.Code    `json:"currency"`
	Amount            string        `json:"amount"`
	ExpiresAt         *string       `json:"expiresAt,omitempty"`
	Metadata          privateObject `json:"metadata,omitzero"`
}

// written implements approvable.
func (c CreatePosition) written() form {
	return createPositionForm{
		typed:             typed{"position.create"},
		AssetID:           c.asset,
		HolderReference:   textMember(c.holderReference),
		ExternalReference: textMember(c.externalReference),
		Currency:          c.currency.Code,
		Amount:            c.amount.Format(c.currency),
		ExpiresAt:         formatOptionalTime(c.expiresAt),
		Metadata:          objectMember(c.metadata),
	}
}

// concerns implements approvable.
func (CreatePosition) concerns() string { return "" }

func (f createPositionForm) each(do func(string, *private)) form {
	do("holderReference", &f.HolderReference.private)
	do("externalReference", &f.ExternalReference.private)
	do("metadata", &f.Metadata.private)
	return f
}

func (f createPositionForm) command() (Command, error) {
	return made(NewCreatePosition(PositionInput{
		AssetID:           f.AssetID.String(),
		HolderReference:   f.HolderReference.value,
		ExternalReference: givenText(f.ExternalReference.value),
		Currency:          string(f.Currency),
		Amount:            money.Digits(f.Amount),
		ExpiresAt:         f.ExpiresAt,
		Metadata:          f.Metadata.metadata(),
	}))
}

type transitionForm struct {
	typed

	PositionID PositionID    `json:"positionId"`
	ToState    State         `json:"toState"`
	Amount     string        `json:"amount,omitempty"`
	Reason     privateText   `json:"reason,omitzero"`
	Metadata   privateObject `json:"metadata,omitzero"`
	IfVersion  []int64       `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c TransitionPosition) written() form {
	f := transitionForm{
		typed:      typed{"position.transition"},
		PositionID: c.position,
		ToState:    c.to,
		Reason:     textMember(c.reason),
		Metadata:   objectMember(c.metadata),
		IfVersion:  c.ifVersion,
	}
	if c.amount != nil {
		f.Amount = string(*c.amount)
	}
	return f
}

// concerns implements approvable.
func (c TransitionPosition) concerns() string { return c.position.String() }

func (f transitionForm) each(do func(string, *private)) form {
	do("reason", &f.Reason.private)
	do("metadata", &f.Metadata.private)
	return f
}

func (f transitionForm) command() (Command, error) {
	in := TransitionInput{
		ToState: string(f.ToState), Reason: givenText(f.Reason.value), Metadata: f.Metadata.metadata(),
	}
	if f.Amount != "" {
		in.Amount = new(money.Digits(f.Amount))
	}
	return made(NewTransitionPosition(f.PositionID, in, f.IfVersion))
}

// batchForm is a batch of which each item is carried out, or none: who approves a batch approves the
// whole of it.
type batchForm struct {
	typed

	Items []writtenCommand `json:"items"`
}

// written returns the written form of a batch; ok is false where an item cannot wait, or no command
// could be made of it.
func (c PositionBatch) written() (w writtenCommand, ok bool) {
	f := batchForm{typed: typed{"positions.batch"}, Items: make([]writtenCommand, len(c.items))}
	for i, item := range c.items {
		command, can := item.command.(approvable)
		if item.refusal != nil || !can {
			return w, false
		}
		f.Items[i] = writtenCommand{command.written()}
	}
	return writtenCommand{f}, true
}

func (f batchForm) each(do func(string, *private)) form {
	items := make([]writtenCommand, len(f.Items))
	for i, item := range f.Items {
		items[i] = writtenCommand{item.each(func(name string, member *private) {
			do(fmt.Sprintf("items.%d.%s", i, name), member)
		})}
	}
	f.Items = items
	return f
}

func (f batchForm) command() (Command, error) {
	batch := PositionBatch{items: make([]batchItem, len(f.Items)), atomic: true}
	for i, item := range f.Items {
		command, err := item.command()
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		one, ok := command.(single)
		if !ok {
			return nil, fmt.Errorf("item %d is a %T", i, command)
		}
		batch.items[i].command = one
	}

	if len(batch.items) == 0 || len(batch.items) > MaxBatchItems {
		return nil, fmt.Errorf("a batch of %d items", len(batch.items))
	}
	return batch, nil
}
