package escrow

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
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

// MaxRotationOverlap bounds how long a rotated key may live beside the new one.
const MaxRotationOverlap = 30 * 24 * time.Hour

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
		hash:      hash,
	}
	var err error
	command.role, err = oneOf(in.Role, Roles())
	faults.check("role", err)
	return command, faults
}

// Needs implements Command.
func (CreateKey) Needs() Needs { return Needs{} }

func (c CreateKey) decide(_ *Books, _ Request, s stamp) (event, error) {
	if err := checkFuture("expiresAt", c.expiresAt, s.at); err != nil {
		return nil, err
	}
	return keyCreated{newKeyState(APIKey{
		ID: KeyID(s.id), Label: c.label, Role: c.role, Hash: c.hash, CreatedAt: s.at, ExpiresAt: c.expiresAt,
	})}, nil
}

// RotateKey makes a new key of the same label, role and expiry, and lets the old
// one expire after the overlap. A key that was rotated already, and lives on in
// its overlap, hands on the little time that it has.
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
func (c RotateKey) Needs() Needs { return Needs{Keys: []KeyID{c.old}} }

func (c RotateKey) decide(b *Books, _ Request, s stamp) (event, error) {
	old, ok := b.Keys.Get(c.old)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.old)
	}
	if !old.Active(s.at) {
		return nil, Errorf(CodeKeyInactive, "The API key %s is revoked or has expired; create a new one.", c.old)
	}
	oldExpiresAt := s.at.Add(c.overlap)
	if old.ExpiresAt != nil && old.ExpiresAt.Before(oldExpiresAt) {
		oldExpiresAt = *old.ExpiresAt
	}
	return keyRotated{
		keyState: newKeyState(APIKey{
			ID: KeyID(s.id), Label: old.Label, Role: old.Role, Hash: c.hash, CreatedAt: s.at, ExpiresAt: old.ExpiresAt,
		}),
		Replaces:          c.old,
		ReplacedExpiresAt: FormatTime(oldExpiresAt),
	}, nil
}

// RevokeKey ends a key at once. Revoking a revoked key changes nothing.
type RevokeKey struct{ Key KeyID }

// Needs implements Command.
func (c RevokeKey) Needs() Needs { return Needs{Keys: []KeyID{c.Key}} }

func (c RevokeKey) decide(b *Books, _ Request, s stamp) (event, error) {
	key, ok := b.Keys.Get(c.Key)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.Key)
	}
	if key.RevokedAt != nil {
		return unchanged{c.Key.String(), key}, nil
	}
	key.RevokedAt = &s.at
	return keyRevoked{newKeyState(key)}, nil
}

// keyState is a key as its entries carry it: whole, so that each entry by itself
// tells what the key was after it.
type keyState struct {
	ID        KeyID   `json:"id"`
	Label     string  `json:"label"`
	Role      Role    `json:"role"`
	Hash      string  `json:"hash,omitempty"`
	CreatedAt string  `json:"createdAt"`
	ExpiresAt *string `json:"expiresAt,omitempty"`
	RevokedAt *string `json:"revokedAt,omitempty"`
}

type (
	keyCreated struct{ keyState }
	keyRevoked struct{ keyState }
	keyRotated struct {
		keyState
		Replaces          KeyID  `json:"replaces"`
		ReplacedExpiresAt string `json:"replacedExpiresAt"`
	}
)

func newKeyState(key APIKey) keyState {
	return keyState{
		ID: key.ID, Label: key.Label, Role: key.Role, Hash: key.Hash.String(),
		CreatedAt: FormatTime(key.CreatedAt),
		ExpiresAt: formatOptionalTime(key.ExpiresAt),
		RevokedAt: formatOptionalTime(key.RevokedAt),
	}
}

func (keyCreated) kind() Kind         { return KindKeyCreated }
func (keyRevoked) kind() Kind         { return KindKeyRevoked }
func (keyRotated) kind() Kind         { return KindKeyRotated }
func (e keyState) subject() string    { return e.ID.String() }
func (e keyState) redacted() keyState { e.Hash = ""; return e }

func (e keyState) resource(b *Books) Resource { return b.Keys.must(e.ID) }

func (e keyState) apply(b *Books, entry Entry) error {
	var reader storedReader
	key := APIKey{
		ID: e.ID, InstitutionID: entry.InstitutionID, Label: e.Label, Role: e.Role,
		Hash:      reader.hash(e.Hash),
		CreatedAt: reader.time(e.CreatedAt),
		ExpiresAt: reader.optionalTime(e.ExpiresAt),
		RevokedAt: reader.optionalTime(e.RevokedAt),
	}
	if reader.err == nil {
		b.Keys.Put(e.ID, key)
	}
	return reader.err
}

func (e keyRotated) apply(b *Books, entry Entry) error {
	// Books that hold one key's entries alone do not know the key it replaced.
	if old, ok := b.Keys.Get(e.Replaces); ok {
		expiresAt, err := ParseTime(e.ReplacedExpiresAt)
		if err != nil {
			return err
		}
		old.ExpiresAt = &expiresAt
		b.Keys.Put(e.Replaces, old)
	}
	return e.keyState.apply(b, entry)
}

// ReplacedKey returns the key that an entry puts another in the place of; ok is false
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

// The text of a secret: a prefix that scanners for leaked secrets can look for,
// 256 random bits in base62, and a check sum that catches a mistyped or cut key
// without asking the database.
const (
	secretPrefix   = "egk_"
	secretBody     = 43
	secretCheckSum = 6
)

// SecretHash is the SHA-256 of a secret. A secret has 256 random bits, so its
// hash needs no salt and no stretching.
type SecretHash [sha256.Size]byte

// String returns the hash in hexadecimal.
func (h SecretHash) String() string { return hex.EncodeToString(h[:]) }

// HashSecret returns the hash by which a secret is known.
func HashSecret(secret string) SecretHash { return sha256.Sum256([]byte(secret)) }

// NewSecret returns the text of a secret with the given random bits.
func NewSecret(random [32]byte) string {
	body := secretPrefix + base62(new(big.Int).SetBytes(random[:]), secretBody)
	return body + secretCheck(body)
}

// DeriveSecret returns the random bits of the secret that a parent secret and a
// nonce always lead to (HKDF, RFC 5869). A repeated request for a new key can so
// be answered with the same secret although only its hash is kept: whoever
// repeats it presents the parent again.
func DeriveSecret(parent string, nonce []byte) (random [32]byte) {
	bits, err := hkdf.Key(sha256.New, []byte(parent), nonce, "escrowgrid api key", len(random))
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give
	}
	return [32]byte(bits)
}

// CheckSecret refuses a text that NewSecret cannot have made.
func CheckSecret(secret string) error {
	if len(secret) == len(secretPrefix)+secretBody+secretCheckSum {
		body := secret[len(secretPrefix) : len(secretPrefix)+secretBody]
		number, ok := new(big.Int).SetString(body, 62)
		if ok && number.BitLen() <= 256 && NewSecret([32]byte(number.FillBytes(make([]byte, 32)))) == secret {
			return nil
		}
	}
	return errors.New("not an EscrowGrid API key, or not all of it")
}

func secretCheck(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), secretCheckSum)
}

// base62 writes a number in 0-9A-Za-z, the digits that math/big orders as
// 0-9a-zA-Z, padded to a fixed width.
func base62(number *big.Int, width int) string {
	return fmt.Sprintf("%0*s", width, number.Text(62))
}
