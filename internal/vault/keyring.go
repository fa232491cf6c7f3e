package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// maxKeys bounds a keyring: a rotation needs two keys, and one that was never finished some more.
const maxKeys = 16

const (
	keySize = 32 // bytes: 256 bits
	idSize  = 8  // bytes: enough to tell maxKeys keys apart
)

// What is derived from a key, as HKDF's info: the purposes keep one from saying anything of the
// other.
const (
	idPurpose     = "escrowgrid vault key id"
	secretPurpose = "escrowgrid vault secret"
)

// redacted is all that a keyring prints.
const redacted = "redacted"

// Keyring seals secrets under its first key, and opens what any of its keys has sealed. It comes
// from ParseKeyring, is safe for concurrent use, and shows nothing of its keys however it is
// printed, logged or encoded.
type Keyring struct{ keys []key }

// key keeps its bits in a function alone: fmt prints the unexported members of other structs
// without asking their methods, and follows pointers where a verb does not fit.
type key struct {
	id [idSize]byte
	// derive returns bytes that say nothing of the key, nor of what is derived from it with another
	// salt or for another purpose (HKDF with SHA-256, RFC 5869).
	derive func(salt []byte, purpose string, size int) []byte
}

// NewKey makes the text of a key, 64 hexadecimal digits, of 32 bytes from a source of randomness,
// which must be crypto/rand's for a key that is used. It fails if the source does.
func NewKey(random io.Reader) (string, error) {
	var bits [keySize]byte
	if _, err := io.ReadFull(random, bits[:]); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return hex.EncodeToString(bits[:]), nil
}

// ParseKeyring reads a list of up to 16 different keys in the form of NewKey, or of
// "openssl rand -hex 32", separated by commas; white space around a key does not count. The first
// key seals, and all of them open. Errors say which key is wrong in what way, and show nothing of
// any.
func ParseKeyring(text string) (*Keyring, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("there is no key")
	}
	texts := strings.Split(text, ",")
	if len(texts) > maxKeys {
		return nil, fmt.Errorf("there are %d keys, at most %d can be given", len(texts), maxKeys)
	}

	var ring Keyring
	for i, text := range texts {
		parsed, err := parseKey(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("key %d of %d %w", i+1, len(texts), err)
		}
		if j := ring.find(parsed.id); j >= 0 {
			return nil, fmt.Errorf("key %d of %d is the same as key %d", i+1, len(texts), j+1)
		}
		ring.keys = append(ring.keys, parsed)
	}
	return &ring, nil
}

// parseKey reads one key. Its error continues a sentence, and holds no part of the text: hex's own
// errors show characters.
func parseKey(text string) (key, error) {
	if text == "" {
		return key{}, errors.New("is empty")
	}
	if want := hex.EncodedLen(keySize); len(text) != want {
		return key{}, fmt.Errorf("has %d characters, and not %d hexadecimal digits", len(text), want)
	}
	bits, err := hex.DecodeString(text)
	if err != nil {
		return key{}, errors.New("has characters that are not hexadecimal digits")
	}

	k := key{derive: func(salt []byte, purpose string, size int) []byte {
		derived, err := hkdf.Key(sha256.New, bits, salt, purpose, size)
		if err != nil {
			panic(err) // only for lengths that HKDF cannot give
		}
		return derived
	}}
	k.id = [idSize]byte(k.derive(nil, idPurpose, idSize))
	return k, nil
}

// aead returns the cipher for the one secret that has a salt. It puts a random nonce before what it
// seals.
func (k key) aead(salt []byte) cipher.AEAD {
	block, err := aes.NewCipher(k.derive(salt, secretPurpose, keySize))
	if err != nil {
		panic(err) // only for keys of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for other ciphers than AES
	}
	return aead
}

// IDs returns the ids of the keys, in their order: the first is that of the key that seals.
func (r Keyring) IDs() []string {
	ids := make([]string, len(r.keys))
	for i, k := range r.keys {
		ids[i] = hex.EncodeToString(k.id[:])
	}
	return ids
}

// Has reports whether the key with an id, as KeyID returns it, is in the keyring. A server whose
// keyring lacks the key of any stored secret was given another than the one before it, and should
// not start.
func (r Keyring) Has(id string) bool { return slices.Contains(r.IDs(), id) }

// Current reports whether something is sealed under the key that seals. What is not has to be
// opened and sealed again before its key is taken out of the keyring. Like KeyID it reads the first
// HeaderSize bytes alone, and does not know whether they are authentic.
func (r Keyring) Current(sealed []byte) bool {
	id, err := header(sealed)
	return err == nil && r.find(id) == 0
}

// find returns the index of the key with an id, or -1.
func (r Keyring) find(id [idSize]byte) int {
	return slices.IndexFunc(r.keys, func(k key) bool { return k.id == id })
}

// String implements fmt.Stringer.
func (Keyring) String() string { return redacted }

// Format implements fmt.Formatter for every verb.
func (Keyring) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue implements slog.LogValuer.
func (Keyring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON uses, too.
func (Keyring) MarshalText() ([]byte, error) { return []byte(redacted), nil }
