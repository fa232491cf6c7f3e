package escrow

// Asset is one instance of a template: a project's escrow, an invoice programme.
type Asset struct {
	ID            AssetID
	InstitutionID InstitutionID
	TemplateID    TemplateID
	Label         string
	Metadata      Metadata
	Upkeep
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

// permission implements single.
func (CreateAsset) permission() Permission { return PermissionAssetsCreate }

func (c CreateAsset) decide(b *Books, _ Request, s stamp) (event, *Error) {
	template, ok := b.Templates.Get(c.template)
	if !ok {
		return nil, Errorf(CodeTemplateNotFound, "There is no asset template %s.", c.template)
	}
	if template.ClosedAt != nil {
		return nil, Errorf(CodeTemplateClosed, "The asset template %s was closed at %s.",
			c.template, FormatTime(*template.ClosedAt))
	}

	return assetCreated{newAssetState(Asset{
		ID:         AssetID(s.id),
		TemplateID: c.template,
		Label:      c.label,
		Metadata:   c.metadata,
		Upkeep:     createdAt(s.at),
	})}, nil
}

// AssetChange is what a client gives to change an asset; nil leaves what there is.
type AssetChange struct {
	Label *string
	// Metadata is merged into the asset's, as RFC 7396 has it.
	Metadata MetadataPatch
}

// UpdateAsset changes what an asset is called and what is noted of it.
type UpdateAsset struct {
	asset     AssetID
	label     *string
	metadata  MetadataPatch
	ifVersion []int64
}

// NewUpdateAsset checks the input. The versions are those that the asset may have; nil is any.
func NewUpdateAsset(asset AssetID, in AssetChange, ifVersion []int64) (UpdateAsset, Faults) {
	var faults Faults
	command := UpdateAsset{
		asset: asset, label: faults.change("label", in.Label), metadata: in.Metadata, ifVersion: ifVersion,
	}
	return command, faults
}

// Needs implements Command.
func (c UpdateAsset) Needs() Needs { return Needs{Assets: []AssetID{c.asset}} }

// permission implements single.
func (UpdateAsset) permission() Permission { return PermissionAssetsUpdate }

func (c UpdateAsset) decide(b *Books, _ Request, _ stamp) (event, *Error) {
	before, ok := b.Assets.Get(c.asset)
	if !ok {
		return nil, Errorf(CodeAssetNotFound, "There is no asset %s.", c.asset)
	}
	if refusal := checkVersion(c.ifVersion, before.Version, "asset"); refusal != nil {
		return nil, refusal
	}

	after := before
	after.Label = changed(before.Label, c.label)
	var err error
	if after.Metadata, err = c.metadata.apply(before.Metadata); err != nil {
		return nil, invalid("metadata", "%s", err)
	}
	if after.Label == before.Label && string(after.Metadata) == string(before.Metadata) {
		return unchanged{name: c.asset.String(), state: before}, nil
	}
	after.Version++
	return assetUpdated{newAssetState(after)}, nil
}

// CloseAsset ends an asset: it takes no new positions, and those it has go on. Closing a
// closed one changes nothing.
type CloseAsset struct{ Asset AssetID }

// Needs implements Command.
func (c CloseAsset) Needs() Needs { return Needs{Assets: []AssetID{c.Asset}} }

// permission implements single.
func (CloseAsset) permission() Permission { return PermissionAssetsUpdate }

func (c CloseAsset) decide(b *Books, _ Request, s stamp) (event, *Error) {
	asset, ok := b.Assets.Get(c.Asset)
	if !ok {
		return nil, Errorf(CodeAssetNotFound, "There is no asset %s.", c.Asset)
	}
	if asset.ClosedAt != nil {
		return unchanged{name: c.Asset.String(), state: asset}, nil
	}
	asset.ClosedAt = &s.at
	asset.Version++
	return assetClosed{newAssetState(asset)}, nil
}

// The kinds of entry that record what became of an asset.
const (
	KindAssetCreated Kind = "ASSET_CREATED"
	KindAssetUpdated Kind = "ASSET_UPDATED"
	KindAssetClosed  Kind = "ASSET_CLOSED"
)

var assetEventKinds = []eventKind{
	{kind: KindAssetCreated, decode: decodeEvent[assetCreated]},
	{kind: KindAssetUpdated, decode: decodeEvent[assetUpdated]},
	{kind: KindAssetClosed, decode: decodeEvent[assetClosed]},
}

// assetState is an asset as its entries carry it: whole.
type assetState struct {
	ID         AssetID     `json:"id"`
	TemplateID TemplateID  `json:"templateId"`
	Label      privateText `json:"label,omitzero"`
	upkeepState
	Metadata privateObject `json:"metadata,omitzero"`
}

type (
	assetCreated struct{ assetState }
	assetUpdated struct{ assetState }
	assetClosed  struct{ assetState }
)

// each returns the asset after a function was called with each private member.
func (e assetState) each(do func(name string, member *private)) assetState {
	do("label", &e.Label.private)
	do("metadata", &e.Metadata.private)
	return e
}

// withPrivate implements personal.
func (e assetCreated) withPrivate(each func(string, *private)) event {
	return assetCreated{e.each(each)}
}

// withPrivate implements personal.
func (e assetUpdated) withPrivate(each func(string, *private)) event {
	return assetUpdated{e.each(each)}
}

// withPrivate implements personal.
func (e assetClosed) withPrivate(each func(string, *private)) event { return assetClosed{e.each(each)} }

func newAssetState(a Asset) assetState {
	return assetState{
		ID:          a.ID,
		TemplateID:  a.TemplateID,
		Label:       textMember(a.Label),
		Metadata:    objectMember(a.Metadata),
		upkeepState: a.Upkeep.state(),
	}
}

func (assetCreated) kind() Kind      { return KindAssetCreated }
func (assetUpdated) kind() Kind      { return KindAssetUpdated }
func (assetClosed) kind() Kind       { return KindAssetClosed }
func (e assetState) subject() string { return e.ID.String() }

func (e assetUpdated) rewrites() Needs { return Needs{Assets: []AssetID{e.ID}} }
func (e assetClosed) rewrites() Needs  { return Needs{Assets: []AssetID{e.ID}} }

func (e assetState) resource(b *Books, _ Entry) Resource { return b.Assets.mustGet(e.ID) }

func (e assetState) apply(b *Books, entry Entry) error {
	upkeep, err := e.upkeep()
	if err != nil {
		return err
	}

	b.Assets.Put(e.ID, Asset{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		TemplateID:    e.TemplateID,
		Label:         e.Label.value,
		Metadata:      e.Metadata.metadata(),
		Upkeep:        upkeep,
	})
	return nil
}
