// Package vault seals the secrets that a server has to know again, such as those that it signs or
// logs in with, so that a copy of the database alone does not give them away. A sealed secret opens
// with the key that it names, at the place that it was sealed for, and nowhere else.
//
// What is sealed is, in this order:
//
//	version   1 byte: 1
//	key id    8 bytes: HKDF(key, no salt, "escrowgrid vault key id")
//	salt     32 bytes, random
//	nonce    12 bytes, random
//	sealed   as many bytes as the secret has, and a tag of 16: AES-256-GCM under the key
//	         HKDF(key, salt, "escrowgrid vault secret")
//
// HKDF is that of RFC 5869 with SHA-256. The additional data are the version, the key id, the salt,
// and then each text of the place after its length in bytes, which is 8 bytes, the highest first.
//
// GCM is safe for 2^32 random nonces under one key. Here each secret has a key of its own, and so
// nobody needs to count how many were ever sealed. The format is a promise: another one gets
// another version, and version 1 opens for ever.
package vault

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// version is the first byte of what is sealed.
const version = 1

// Sizes of what is sealed, in bytes.
const (
	// HeaderSize is how many bytes KeyID and Current need to see.
	HeaderSize = 1 + idSize

	saltSize = 32
	overhead = 12 + 16 // the nonce and the tag
)

// Why something does not open.
var (
	// ErrNotSealed means that it is cut short, of a later version, or no sealed secret at all.
	ErrNotSealed = fmt.Errorf("is no sealed secret of version %d", version)
	// ErrUnknownKey means that the keyring does not have its key; the message has the key's id.
	ErrUnknownKey = errors.New("is sealed under a key that is not in the keyring")
	// ErrNotAuthentic means that it was changed, or sealed for another place.
	ErrNotAuthentic = errors.New("is changed, or sealed for another place")
)

// Place is what a secret belongs to. What is sealed for one place opens at no other, so that nobody
// who can write to the database can pass the secret of one row off as that of another. They can
// still put back what the same place had before.
type Place struct {
	// Kind is what the secret is, such as webhook_secret. Each column with secrets has its own.
	Kind string
	// Institution is the id of the tenant, and empty for what belongs to the operator.
	Institution string
	// Row is the id of the row.
	Row string
}

// additional returns the additional data: what stands before the nonce, and then the place in such
// a way that no two places are written alike.
func (p Place) additional(prefix []byte) []byte {
	text := append([]byte(nil), prefix...)
	for _, part := range []string{p.Kind, p.Institution, p.Row} {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	return text
}

// Seal seals a secret for a place, under the first key. The result is 69 bytes longer than the
// secret, which shows how long the secret is, and differs each time.
func (r Keyring) Seal(place Place, secret []byte) []byte {
	k := r.keys[0]
	prefix := make([]byte, HeaderSize+saltSize, HeaderSize+saltSize+overhead+len(secret))
	prefix[0] = version
	copy(prefix[1:], k.id[:])
	salt := prefix[HeaderSize:]
	_, _ = rand.Read(salt) // It never fails.

	return k.aead(salt).Seal(prefix, nil, secret, place.additional(prefix)) //nolint:gosec // The cipher makes the nonce.
}

// Open returns the secret that was sealed for the place. Its error is ErrNotSealed, ErrUnknownKey
// or ErrNotAuthentic.
func (r Keyring) Open(place Place, sealed []byte) ([]byte, error) {
	id, err := header(sealed)
	if err != nil {
		return nil, err
	}
	if len(sealed) < HeaderSize+saltSize+overhead {
		return nil, ErrNotSealed
	}
	i := r.find(id)
	if i < 0 {
		return nil, fmt.Errorf("%w: %x", ErrUnknownKey, id)
	}

	prefix, rest := sealed[:HeaderSize+saltSize], sealed[HeaderSize+saltSize:]
	secret, err := r.keys[i].aead(prefix[HeaderSize:]).Open(nil, nil, rest, place.additional(prefix))
	if err != nil {
		return nil, ErrNotAuthentic // The cipher's error says no more.
	}
	return secret, nil
}

// KeyID returns the id of the key that something is sealed under, as 16 hexadecimal digits. It
// needs the first HeaderSize bytes alone, so that a query need not fetch more, and does not know
// whether they are authentic. Its error is ErrNotSealed.
func KeyID(sealed []byte) (string, error) {
	id, err := header(sealed)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(id[:]), nil
}

// header reads the version and the key's id.
func header(sealed []byte) (id [idSize]byte, err error) {
	if len(sealed) < HeaderSize || sealed[0] != version {
		return id, ErrNotSealed
	}
	return [idSize]byte(sealed[1:HeaderSize]), nil
}
