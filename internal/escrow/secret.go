package escrow

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
)

// The text of a secret: a prefix that scanners for leaked secrets can look for,
// 256 random bits in base62, and a check sum that catches a mistyped or cut key
// without asking the database.
const (
	secretPrefix   = "egk_"
	sessionPrefix  = "egs_"
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

// NewSecret returns the text of an API key's secret with the given random bits.
func NewSecret(random [32]byte) string { return newSecret(secretPrefix, random) }

// NewSessionToken returns the text of a session's token with the given random bits.
func NewSessionToken(random [32]byte) string { return newSecret(sessionPrefix, random) }

func newSecret(prefix string, random [32]byte) string {
	body := prefix + base62(new(big.Int).SetBytes(random[:]), secretBody)
	return body + secretCheck(body)
}

// DeriveSecret returns the random bits of a secret, derived from a parent secret, a secret of
// the servers' and a nonce (HKDF, RFC 5869): the same three give the same bits. So a repeated
// request for a new key can be answered with the same secret although only its hash is kept:
// whoever repeats it presents the parent again. The servers' secret is in no database, so the
// parent and a copy of the database, with the nonce, are not enough.
func DeriveSecret(servers, parent string, nonce []byte) (random [32]byte) {
	// Of a fixed length, it cannot be confused with the beginning of a parent.
	secrets := expand([]byte(servers), nil, "escrowgrid key derivation secret")
	return expand(append(secrets[:], parent...), nonce, "escrowgrid api key")
}

func expand(secret, salt []byte, purpose string) (bits [32]byte) {
	derived, err := hkdf.Key(sha256.New, secret, salt, purpose, len(bits))
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give
	}
	return [32]byte(derived)
}

// CheckSecret refuses a text that NewSecret cannot have made.
func CheckSecret(secret string) error {
	if !isSecret(secretPrefix, secret) {
		return errors.New("not an EscrowGrid API key, or not all of it")
	}
	return nil
}

// CheckSessionToken refuses a text that NewSessionToken cannot have made.
func CheckSessionToken(token string) error {
	if !isSecret(sessionPrefix, token) {
		return errors.New("not a token of a session, or not all of it")
	}
	return nil
}

// isSecret reports whether newSecret can have made a text.
func isSecret(prefix, secret string) bool {
	if len(secret) != len(prefix)+secretBody+secretCheckSum {
		return false
	}
	number, ok := new(big.Int).SetString(secret[len(prefix):len(prefix)+secretBody], 62)
	return ok && number.BitLen() <= 256 && newSecret(prefix, [32]byte(number.FillBytes(make([]byte, 32)))) == secret
}

func secretCheck(body string) string {
	return base62(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), secretCheckSum)
}

// base62 writes a number in 0-9A-Za-z, the digits that math/big orders as
// 0-9a-zA-Z, padded to a fixed width.
func base62(number *big.Int, width int) string {
	return fmt.Sprintf("%0*s", width, number.Text(62))
}
