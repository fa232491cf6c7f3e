package escrow

import "time"

// Asset is one instance of a template: a project's escrow, an invoice programme.
type Asset struct {
	ID            AssetID
	InstitutionID InstitutionID
	TemplateID    TemplateID
	Label         string
	Metadata      Metadata
	CreatedAt     time.Time
}

// AssetInput is what a client gives to make an asset.
type AssetInput struct {
	TemplateID string
	Label      string
	Metadata   Metadata
}

// CreateAsset makes an asset of a template.
type CreateAsset struct {
	template TemplateID
	label    string
	metadata Metadata
}

// NewCreateAsset checks the input.
func NewCreateAsset(in AssetInput) (CreateAsset, Faults) {
	var faults Faults
	command := CreateAsset{
		template: requiredID[templateKind](&faults, "templateId", in.TemplateID),
		label:    faults.text("label", in.Label),
		metadata: faults.metadata("metadata", in.Metadata),
	}
	return command, faults
}

// Needs implements Command.
func (c CreateAsset) Needs() Needs { return Needs{Templates: []TemplateID{c.template}} }

func (c CreateAsset) decide(b *Books, _ Request, s stamp) (event, *Error) {
	if _, ok := b.Templates.Get(c.template); !ok {
		return nil, Errorf(CodeTemplateNotFound, "There is no asset template %s.", c.template)
	}
	return assetCreated{ID: AssetID(s.id), TemplateID: c.template, Label: c.label, Metadata: c.metadata}, nil
}

// KindAssetCreated is the kind of an entry that records a new asset.
const KindAssetCreated Kind = "ASSET_CREATED"

var assetEventKinds = []eventKind{{kind: KindAssetCreated, decode: decodeEvent[assetCreated]}}

type assetCreated struct {
	ID         AssetID    `json:"id"`
	TemplateID TemplateID `json:"templateId"`
	Label      string     `json:"label"`
	Metadata   Metadata   `json:"metadata,omitempty"`
}

func (e assetCreated) kind() Kind      { return KindAssetCreated }
func (e assetCreated) subject() string { return e.ID.String() }

func (e assetCreated) resource(b *Books, _ Entry) Resource { return b.Assets.mustGet(e.ID) }

func (e assetCreated) apply(b *Books, entry Entry) error {
	b.Assets.Put(e.ID, Asset{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		TemplateID:    e.TemplateID,
		Label:         e.Label,
		Metadata:      e.Metadata,
		CreatedAt:     entry.At,
	})
	return nil
}
