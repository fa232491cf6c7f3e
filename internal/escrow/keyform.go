package escrow

import "time"

var keyFormTypes = []formType{
	{"api_key.create", decodeForm[createKeyForm]},
	{"api_key.rotate", decodeForm[rotateKeyForm]},
	{"api_key.update", decodeForm[updateKeyForm]},
}

// keyMakingForm is a form that has the hash of a new key's secret.
type keyMakingForm interface{ keyHash() string }

// createKeyForm has the hash of the secret, which whoever asks for the key is given at once: it is none
// before the key is approved.
type createKeyForm struct {
	typed

	Label            privateText       `json:"label,omitzero"`
	Owner            privateText       `json:"owner,omitzero"`
	Role             RoleName          `json:"role,omitempty"`
	Permissions      PermissionSet     `json:"permissions,omitzero"`
	Restrict         *restrictionState `json:"restrict,omitempty"`
	HolderReferences privateObject     `json:"holderReferences,omitzero"`
	AllowedNetworks  []Network         `json:"allowedNetworks,omitempty"`
	Hash             string            `json:"hash,omitempty"`
	ExpiresAt        *string           `json:"expiresAt,omitempty"`
}

// written implements approvable.
func (c CreateKey) written() form {
	key := newKeyState(c.key)
	return createKeyForm{
		typed: typed{"api_key.create"},

		Label:            key.Label,
		Owner:            key.Owner,
		Role:             key.Role,
		Permissions:      key.Permissions,
		Restrict:         key.Restrict,
		HolderReferences: key.HolderReferences,
		AllowedNetworks:  key.AllowedNetworks,
		Hash:             key.Hash,
		ExpiresAt:        key.ExpiresAt,
	}
}

// concerns implements approvable.
func (CreateKey) concerns() string { return "" }

func (f createKeyForm) each(do func(string, *private)) form {
	do("label", &f.Label.private)
	do("owner", &f.Owner.private)
	do("holderReferences", &f.HolderReferences.private)
	return f
}

// keyHash implements keyMakingForm.
func (f createKeyForm) keyHash() string { return f.Hash }

// redacted implements redactingForm.
func (f createKeyForm) redacted() form { f.Hash = ""; return f }

func (f createKeyForm) command() (Command, error) {
	var reader storedReader
	restriction, err := f.Restrict.restriction(f.HolderReferences)
	reader.keep(err)
	key := APIKey{
		Label:           f.Label.value,
		Owner:           f.Owner.value,
		Role:            f.Role,
		Permissions:     f.Permissions,
		Restriction:     restriction,
		AllowedNetworks: f.AllowedNetworks,
		Hash:            reader.hash(f.Hash),
		ExpiresAt:       reader.optionalTime(f.ExpiresAt),
	}
	return CreateKey{key}, reader.err
}

type rotateKeyForm struct {
	typed

	ID             KeyID  `json:"id"`
	OverlapSeconds int64  `json:"overlapSeconds"`
	Hash           string `json:"hash,omitempty"`
}

// keyHash implements keyMakingForm.
func (f rotateKeyForm) keyHash() string { return f.Hash }

// written implements approvable.
func (c RotateKey) written() form {
	return rotateKeyForm{
		typed: typed{"api_key.rotate"}, ID: c.old, OverlapSeconds: int64(c.overlap / time.Second),
		Hash: c.hash.String(),
	}
}

// concerns implements approvable.
func (c RotateKey) concerns() string { return c.old.String() }

func (f rotateKeyForm) each(func(string, *private)) form { return f }

// redacted implements redactingForm.
func (f rotateKeyForm) redacted() form { f.Hash = ""; return f }

func (f rotateKeyForm) command() (Command, error) {
	var reader storedReader
	hash := reader.hash(f.Hash)
	if reader.err != nil {
		return nil, reader.err
	}
	return made(NewRotateKey(f.ID, RotationInput{OverlapSeconds: &f.OverlapSeconds}, hash))
}

type updateKeyForm struct {
	typed

	ID        KeyID       `json:"id"`
	Label     privateText `json:"label,omitzero"`
	IfVersion []int64     `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c UpdateKey) written() form {
	f := updateKeyForm{typed: typed{"api_key.update"}, ID: c.key, IfVersion: c.ifVersion}
	if c.label != nil {
		f.Label = textMember(*c.label)
	}
	return f
}

// concerns implements approvable.
func (c UpdateKey) concerns() string { return c.key.String() }

func (f updateKeyForm) each(do func(string, *private)) form {
	do("label", &f.Label.private)
	return f
}

func (f updateKeyForm) command() (Command, error) {
	return made(NewUpdateKey(f.ID, givenText(f.Label.value), f.IfVersion))
}
