package escrow

var assetFormTypes = []formType{
	{"asset.create", decodeForm[createAssetForm]},
	{"asset.update", decodeForm[updateAssetForm]},
	{"asset.close", decodeForm[closeAssetForm]},
}

type createAssetForm struct {
	typed

	TemplateID TemplateID    `json:"templateId"`
	Label      privateText   `json:"label,omitzero"`
	Metadata   privateObject `json:"metadata,omitzero"`
}

// written implements approvable.
func (c CreateAsset) written() form {
	return createAssetForm{
		typed: typed{"asset.create"}, TemplateID: c.template, Label: textMember(c.label),
		Metadata: objectMember(c.metadata),
	}
}

// concerns implements approvable.
func (CreateAsset) concerns() string { return "" }

func (f createAssetForm) each(do func(string, *private)) form {
	do("label", &f.Label.private)
	do("metadata", &f.Metadata.private)
	return f
}

func (f createAssetForm) command() (Command, error) {
	return made(NewCreateAsset(AssetInput{
		TemplateID: f.TemplateID.String(), Label: f.Label.value, Metadata: f.Metadata.metadata(),
	}))
}

type updateAssetForm struct {
	typed

	ID    AssetID     `json:"id"`
	Label privateText `json:"label,omitzero"`
	// Metadata is the patch: an object, or null.
	Metadata  privateObject `json:"metadata,omitzero"`
	IfVersion []int64       `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c UpdateAsset) written() form {
	f := updateAssetForm{
		typed: typed{"asset.update"}, ID: c.asset, Metadata: objectMember(Metadata(c.metadata)),
		IfVersion: c.ifVersion,
	}
	if c.label != nil {
		f.Label = textMember(*c.label)
	}
	return f
}

// concerns implements approvable.
func (c UpdateAsset) concerns() string { return c.asset.String() }

func (f updateAssetForm) each(do func(string, *private)) form {
	do("label", &f.Label.private)
	do("metadata", &f.Metadata.private)
	return f
}

func (f updateAssetForm) command() (Command, error) {
	change := AssetChange{Label: givenText(f.Label.value), Metadata: MetadataPatch(f.Metadata.metadata())}
	return made(NewUpdateAsset(f.ID, change, f.IfVersion))
}

type closeAssetForm struct {
	typed

	ID AssetID `json:"id"`
}

// written implements approvable.
func (c CloseAsset) written() form { return closeAssetForm{typed{"asset.close"}, c.Asset} }

// concerns implements approvable.
func (c CloseAsset) concerns() string { return c.Asset.String() }

func (f closeAssetForm) each(func(string, *private)) form { return f }
func (f closeAssetForm) command() (Command, error)        { return CloseAsset{f.ID}, nil }
