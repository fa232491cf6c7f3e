package escrow

import (
	"fmt"
	"time"
)

// Role is what a key may do in its institution.
type Role string

// The roles of an institution's keys.
const (
	RoleAdmin    Role = "admin"
	RoleReadOnly Role = "read_only"
)

// Roles lists the roles that a key can have.
func Roles() []Role { return []Role{RoleAdmin, RoleReadOnly} }

// MaxRotationOverlap bounds how long a key that was rotated stays valid beside the new one.
const MaxRotationOverlap = 30 * 24 * time.Hour

// MaxActiveKeys bounds the active keys of an institution: far more than it has services, and few
// enough to count with each new one.
const MaxActiveKeys = 1000

// APIKey is a secret's record: whom it acts for, and until when. Of the secret
// itself only the hash is kept.
type APIKey struct {
	ID            KeyID
	InstitutionID InstitutionID
	Label         string
	Role          Role
	Hash          SecretHash
	CreatedAt     time.Time
	ExpiresAt     *time.Time
	RevokedAt     *time.Time
	Version       int64 // 1 when created, one more with each change
	// RotatedTo is the key that takes this one's place; zero where none does.
	RotatedTo KeyID
}

// Active reports whether the key is neither revoked nor expired at the moment.
func (k APIKey) Active(at time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || at.Before(*k.ExpiresAt))
}

// KeyInput is what a client gives to make a key.
type KeyInput struct {
	Label     string
	Role      string
	ExpiresAt *string
}

// CreateKey makes an API key.
type CreateKey struct {
	label     string
	role      Role
	expiresAt *time.Time
	hash      SecretHash
}

// NewCreateKey checks the input; the hash is that of the secret which the client
// will be given.
func NewCreateKey(in KeyInput, hash SecretHash) (CreateKey, Faults) {
	var faults Faults
	command := CreateKey{
		label:     faults.text("label", in.Label),
		expiresAt: faults.optionalTime("expiresAt", in.ExpiresAt),
		role:      word(&faults, "role", in.Role, Roles()),
		hash:      hash,
	}
	return command, faults
}

// Needs implements Command.
func (CreateKey) Needs() Needs { return Needs{ActiveKeys: true} }

func (c CreateKey) decide(b *Books, _ Request, s stamp) (event, *Error) {
	if refusal := checkFuture("expiresAt", c.expiresAt, s.at); refusal != nil {
		return nil, refusal
	}
	if refusal := checkKeyLimit(b.activeKeys(s.at)); refusal != nil {
		return nil, refusal
	}

	return keyCreated{newKeyState(APIKey{
		ID:        KeyID(s.id),
		Label:     c.label,
		Role:      c.role,
		Hash:      c.hash,
		CreatedAt: s.at,
		ExpiresAt: c.expiresAt,
		Version:   1,
	})}, nil
}

// RotateKey makes a new key of the same label, role and expiry, and lets the old
// one expire after the overlap. Each key is rotated once.
type RotateKey struct {
	old     KeyID
	overlap time.Duration
	hash    SecretHash
}

// RotationInput is what a client gives to rotate a key.
type RotationInput struct {
	OverlapSeconds *int64
}

// NewRotateKey checks the input. Without an overlap the old key ends at once.
func NewRotateKey(key KeyID, in RotationInput, hash SecretHash) (RotateKey, Faults) {
	var faults Faults
	command := RotateKey{old: key, hash: hash}

	if seconds := in.OverlapSeconds; seconds != nil {
		if limit := int64(MaxRotationOverlap / time.Second); *seconds < 0 || *seconds > limit {
			faults.Add("overlapSeconds", "must be from 0 to %d", limit)
		} else {
			command.overlap = time.Duration(*seconds) * time.Second
		}
	}
	return command, faults
}

// Needs implements Command.
func (c RotateKey) Needs() Needs { return Needs{ActiveKeys: true, Keys: []KeyID{c.old}} }

func (c RotateKey) decide(b *Books, _ Request, s stamp) (event, *Error) {
	old, ok := b.Keys.Get(c.old)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.old)
	}
	if !old.RotatedTo.IsZero() {
		return nil, Errorf(CodeKeyRotated, "The API key %s was rotated to %s; rotate that one.", c.old, old.RotatedTo)
	}
	if !old.Active(s.at) {
		return nil, Errorf(CodeKeyInactive, "The API key %s is revoked or has expired; create a new one.", c.old)
	}

	oldExpiresAt := s.at.Add(c.overlap)
	if old.ExpiresAt != nil && old.ExpiresAt.Before(oldExpiresAt) {
		oldExpiresAt = *old.ExpiresAt
	}
	beside := b.activeKeys(s.at)
	if !oldExpiresAt.After(s.at) {
		beside-- // The old key makes room for the new one.
	}
	if refusal := checkKeyLimit(beside); refusal != nil {
		return nil, refusal
	}

	return keyRotated{
		keyState: newKeyState(APIKey{
			ID:        KeyID(s.id),
			Label:     old.Label,
			Role:      old.Role,
			Hash:      c.hash,
			CreatedAt: s.at,
			ExpiresAt: old.ExpiresAt,
			Version:   1,
		}),
		Replaces:          c.old,
		ReplacedExpiresAt: FormatTime(oldExpiresAt),
	}, nil
}

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

// RevokeKey ends a key at once. Revoking a revoked key changes nothing.
type RevokeKey struct{ Key KeyID }

// Needs implements Command.
func (c RevokeKey) Needs() Needs { return Needs{Keys: []KeyID{c.Key}} }

func (c RevokeKey) decide(b *Books, _ Request, s stamp) (event, *Error) {
	key, ok := b.Keys.Get(c.Key)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.Key)
	}
	if key.RevokedAt != nil {
		return unchanged{name: c.Key.String(), state: key}, nil
	}
	key.RevokedAt = &s.at
	key.Version++
	return keyRevoked{newKeyState(key)}, nil
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
	ID        KeyID       `json:"id"`
	Label     privateText `json:"label,omitzero"`
	Role      Role        `json:"role"`
	Hash      string      `json:"hash,omitempty"`
	CreatedAt string      `json:"createdAt"`
	ExpiresAt *string     `json:"expiresAt,omitempty"`
	RevokedAt *string     `json:"revokedAt,omitempty"`
	RotatedTo KeyID       `json:"rotatedTo,omitzero"`
	Version   int64       `json:"version"`
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
func (e keyState) each(do func(string, *private)) keyState { do("label", &e.Label.private); return e }

func (e keyCreated) withPrivate(each func(string, *private)) event { return keyCreated{e.each(each)} }

func (e keyRevoked) withPrivate(each func(string, *private)) event { return keyRevoked{e.each(each)} }

func (e keyUpdated) withPrivate(each func(string, *private)) event { return keyUpdated{e.each(each)} }

func (e keyRotated) withPrivate(each func(string, *private)) event {
	e.keyState = e.each(each)
	return e
}

func newKeyState(key APIKey) keyState {
	return keyState{
		ID:        key.ID,
		Label:     textMember(key.Label),
		Role:      key.Role,
		Hash:      key.Hash.String(),
		CreatedAt: FormatTime(key.CreatedAt),
		ExpiresAt: formatOptionalTime(key.ExpiresAt),
		RevokedAt: formatOptionalTime(key.RevokedAt),
		RotatedTo: key.RotatedTo,
		Version:   key.Version,
	}
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
	key := APIKey{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		Label:         e.Label.value,
		Role:          e.Role,
		Hash:          reader.hash(e.Hash),
		CreatedAt:     reader.time(e.CreatedAt),
		ExpiresAt:     reader.optionalTime(e.ExpiresAt),
		RevokedAt:     reader.optionalTime(e.RevokedAt),
		RotatedTo:     e.RotatedTo,
		Version:       e.Version,
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
