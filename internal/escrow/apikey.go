package escrow

import (
	"fmt"
	"time"
)

// MaxActiveKeys bounds the active keys of an institution: far more than it has services, and few
// enough to count with each new one.
const MaxActiveKeys = 1000

// APIKey is a secret's record: whom it acts for, what it may do, and until when. Of the secret
// itself only the hash is kept.
type APIKey struct {
	ID            KeyID
	InstitutionID InstitutionID
	Label         string
	// Owner is who answers for the key, empty where nobody is named.
	Owner string
	// Role names what the key may do; where it is empty, Permissions lists that.
	Role        RoleName
	Permissions PermissionSet
	Restriction Restriction
	// AllowedNetworks are those that the key can be used from; from all where there are none.
	AllowedNetworks []Network
	Hash            SecretHash
	CreatedAt       time.Time
	ExpiresAt       *time.Time
	RevokedAt       *time.Time
	Version         int64 // 1 when created, one more with each change
	// RotatedTo is the key that takes this one's place; zero where none does.
	RotatedTo KeyID
	// CreatedBy is who made the key, by rotation or anew, and so knew its secret; of a key that has rotated
	// itself, who made that one. It is nobody where the key is older than the knowledge of that.
	CreatedBy Actor
	// Origin is the first of the keys that it was rotated from; zero where it was made anew.
	Origin KeyID
}

// Active reports whether the key is neither revoked nor expired at the moment.
func (k APIKey) Active(at time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || at.Before(*k.ExpiresAt))
}

// KeyInput is what a client gives to make a key. It has a Role or Permissions.
type KeyInput struct {
	Label           string
	Owner           *string
	Role            string
	Permissions     *[]string
	Restrict        *RestrictionInput
	AllowedNetworks *[]string
	ExpiresAt       *string
}

// CreateKey makes an API key. All that it has but its id and times is in key.
type CreateKey struct{ key APIKey }

// NewCreateKey checks the input; the hash is that of the secret which the client
// will be given.
func NewCreateKey(in KeyInput, hash SecretHash) (CreateKey, Faults) {
	var faults Faults
	key := APIKey{
		Label:           faults.text("label", in.Label),
		Owner:           faults.optionalText("owner", in.Owner, MaxTextLength),
		Restriction:     faults.restriction("restrict", in.Restrict),
		AllowedNetworks: listOf(&faults, "allowedNetworks", in.AllowedNetworks, (*Faults).network),
		ExpiresAt:       faults.optionalTime("expiresAt", in.ExpiresAt),
		Hash:            hash,
	}

	switch {
	case in.Role != "" && in.Permissions != nil:
		faults.Add("permissions", "must be left out where there is a role")
	case in.Permissions != nil:
		if key.Permissions = faults.permissions("permissions", *in.Permissions); len(*in.Permissions) == 0 {
			faults.Add("permissions", "must have at least one element")
		}
	case in.Role != "":
		key.Role = faults.roleName("role", in.Role)
	default:
		faults.Add("role", "is required, unless there are permissions")
	}
	if key.Role == RoleHolder && len(key.Restriction.HolderReferences) == 0 {
		faults.Add("restrict.holderReferences", "is required for the role holder, which sees their positions alone")
	}
	return CreateKey{key}, faults
}

// Needs implements Command.
func (c CreateKey) Needs() Needs { return Needs{ActiveKeys: true, Roles: c.key.HasOwnRole()} }

// permission implements single.
func (CreateKey) permission() Permission { return PermissionKeysManage }

// gives implements giving.
func (c CreateKey) gives(b *Books) Rights { return RightsOfKey(c.key, b.Roles.Get) }

func (c CreateKey) decide(b *Books, r Request, s stamp) (event, *Error) {
	if refusal := checkFuture("expiresAt", c.key.ExpiresAt, s.at); refusal != nil {
		return nil, refusal
	}
	if _, known := b.Roles.Get(c.key.Role); c.key.HasOwnRole() && !known {
		return nil, invalid("role", "must be one of %s, or a role of the institution", join(builtInNames()))
	}
	if refusal := checkKeyLimit(b.activeKeys(s.at)); refusal != nil {
		return nil, refusal
	}

	key := c.key
	key.ID, key.CreatedAt, key.CreatedBy, key.Version = KeyID(s.id), s.at, r.Actor, 1
	return keyCreated{newKeyState(key)}, nil
}

// HasOwnRole reports whether the key's role is one of its institution's own.
func (k APIKey) HasOwnRole() bool { return k.Role != "" && !k.Role.IsBuiltIn() }

// activeKeys counts the keys that are active at a time. The books must have all of them; see
// Needs.ActiveKeys.
func (b *Books) activeKeys(at time.Time) (active int) {
	for _, key := range b.Keys.All() {
		if key.Active(at) {
			active++
		}
	}
	return active
}

// checkKeyLimit refuses a new key beside so many active ones.
func checkKeyLimit(active int) *Error {
	if active < MaxActiveKeys {
		return nil
	}
	return Errorf(CodeKeyLimit, "The institution has %d active API keys, which is the most; revoke one first.", active)
}

// The kinds of entry that record what became of a key.
const (
	KindKeyCreated Kind = "API_KEY_CREATED"
	KindKeyRotated Kind = "API_KEY_ROTATED"
	KindKeyRevoked Kind = "API_KEY_REVOKED"
	KindKeyUpdated Kind = "API_KEY_UPDATED"
)

var keyEventKinds = []eventKind{
	{kind: KindKeyCreated, decode: decodeEvent[keyCreated]},
	{kind: KindKeyRotated, decode: decodeEvent[keyRotated]},
	{kind: KindKeyRevoked, decode: decodeEvent[keyRevoked]},
	{kind: KindKeyUpdated, decode: decodeEvent[keyUpdated]},
}

// keyState is a key as its entries carry it: whole, so that each entry by itself
// tells what the key was after it.
type keyState struct {
	ID               KeyID             `json:"id"`
	Label            privateText       `json:"label,omitzero"`
	Owner            privateText       `json:"owner,omitzero"`
	Role             RoleName          `json:"role,omitempty"`
	Permissions      PermissionSet     `json:"permissions,omitzero"`
	Restrict         *restrictionState `json:"restrict,omitempty"`
	HolderReferences privateObject     `json:"holderReferences,omitzero"`
	AllowedNetworks  []Network         `json:"allowedNetworks,omitempty"`
	Hash             string            `json:"hash,omitempty"`
	CreatedAt        string            `json:"createdAt"`
	ExpiresAt        *string           `json:"expiresAt,omitempty"`
	RevokedAt        *string           `json:"revokedAt,omitempty"`
	RotatedTo        KeyID             `json:"rotatedTo,omitzero"`
	CreatedBy        *Actor            `json:"createdBy,omitempty"`
	Origin           KeyID             `json:"origin,omitzero"`
	Version          int64             `json:"version"`
}

type (
	keyCreated struct{ keyState }
	keyRevoked struct{ keyState }
	keyUpdated struct{ keyState }
	keyRotated struct {
		keyState
		Replaces          KeyID  `json:"replaces"`
		ReplacedExpiresAt string `json:"replacedExpiresAt"`
	}
)

// each returns the key after a function was called with each private member.
func (e keyState) each(do func(string, *private)) keyState {
	do("label", &e.Label.private)
	do("owner", &e.Owner.private)
	do("holderReferences", &e.HolderReferences.private)
	return e
}

func (e keyCreated) withPrivate(each func(string, *private)) event { return keyCreated{e.each(each)} }

func (e keyRevoked) withPrivate(each func(string, *private)) event { return keyRevoked{e.each(each)} }

func (e keyUpdated) withPrivate(each func(string, *private)) event { return keyUpdated{e.each(each)} }

func (e keyRotated) withPrivate(each func(string, *private)) event {
	e.keyState = e.each(each)
	return e
}

func newKeyState(key APIKey) keyState {
	return keyState{
		ID:    key.ID,
		Label: textMember(key.Label),
		Owner: textMember(key.Owner),

		Role:             key.Role,
		Permissions:      key.Permissions,
		Restrict:         key.Restriction.state(),
		HolderReferences: referencesMember(key.Restriction.HolderReferences),
		AllowedNetworks:  key.AllowedNetworks,

		Hash:      key.Hash.String(),
		CreatedAt: FormatTime(key.CreatedAt),
		ExpiresAt: formatOptionalTime(key.ExpiresAt),
		RevokedAt: formatOptionalTime(key.RevokedAt),
		RotatedTo: key.RotatedTo,
		CreatedBy: optionalActor(key.CreatedBy),
		Origin:    key.Origin,
		Version:   key.Version,
	}
}

// optionalActor returns nil for nobody.
func optionalActor(a Actor) *Actor {
	if a == (Actor{}) {
		return nil
	}
	return &a
}

func (keyCreated) kind() Kind      { return KindKeyCreated }
func (keyRevoked) kind() Kind      { return KindKeyRevoked }
func (keyUpdated) kind() Kind      { return KindKeyUpdated }
func (keyRotated) kind() Kind      { return KindKeyRotated }
func (e keyState) subject() string { return e.ID.String() }

func (e keyUpdated) rewrites() Needs { return Needs{Keys: []KeyID{e.ID}} }
func (e keyRevoked) rewrites() Needs { return Needs{Keys: []KeyID{e.ID}} }
func (e keyRotated) rewrites() Needs { return Needs{Keys: []KeyID{e.Replaces}} }

func (e keyState) resource(b *Books, _ Entry) Resource { return b.Keys.mustGet(e.ID) }

// The readers of the audit trail have no use for the hash of a key.
func (e keyCreated) redacted() event { e.Hash = ""; return e }
func (e keyRevoked) redacted() event { e.Hash = ""; return e }
func (e keyUpdated) redacted() event { e.Hash = ""; return e }
func (e keyRotated) redacted() event { e.Hash = ""; return e }

func (e keyState) apply(b *Books, entry Entry) error {
	var reader storedReader
	restriction, err := e.Restrict.restriction(e.HolderReferences)
	reader.keep(err)
	key := APIKey{
		ID:              e.ID,
		InstitutionID:   entry.InstitutionID,
		Label:           e.Label.value,
		Owner:           e.Owner.value,
		Role:            e.Role,
		Permissions:     e.Permissions,
		Restriction:     restriction,
		AllowedNetworks: e.AllowedNetworks,
		Hash:            reader.hash(e.Hash),
		CreatedAt:       reader.time(e.CreatedAt),
		ExpiresAt:       reader.optionalTime(e.ExpiresAt),
		RevokedAt:       reader.optionalTime(e.RevokedAt),
		RotatedTo:       e.RotatedTo,
		Origin:          e.Origin,
		Version:         e.Version,
	}
	if e.CreatedBy != nil {
		key.CreatedBy = *e.CreatedBy
	}

	if reader.err == nil {
		b.Keys.Put(e.ID, key)
	}
	return reader.err
}

func (e keyRotated) apply(b *Books, entry Entry) error {
	expiresAt, err := ParseWrittenTime(e.ReplacedExpiresAt)
	if err != nil {
		return err
	}
	// Books that hold one key's entries alone do not know the key it replaced.
	if old, ok := b.Keys.Get(e.Replaces); ok {
		old.ExpiresAt, old.RotatedTo = &expiresAt, e.ID
		old.Version++
		b.Keys.Put(e.Replaces, old)
	}
	return e.keyState.apply(b, entry)
}

// ReplacedKey returns the key that the rotation of an entry replaces; ok is false
// for an entry that is no rotation.
func (e Entry) ReplacedKey() (replaced KeyID, ok bool) {
	rotated, ok := e.event.(keyRotated)
	return rotated.Replaces, ok
}

// KeyAfter returns a key as it is after all entries that concern it, oldest first: its
// own, and the rotation that replaced it.
func KeyAfter(id KeyID, entries []Entry) (APIKey, error) {
	books, err := booksAfter(entries)
	if err != nil {
		return APIKey{}, err
	}
	key, ok := books.Keys.Get(id)
	if !ok {
		return APIKey{}, fmt.Errorf("no entry made the key %s", id)
	}
	return key, nil
}
