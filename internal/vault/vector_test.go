package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// What is sealed must open for ever, and so none of this may change. It was made by a program in
// another language, from the description at the top of the package.
const (
	vectorKey    = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	vectorKeyID  = "2248f74565cb01cc"
	vectorSecret = "whsec_grüße"
	vectorSealed = "01" + vectorKeyID +
		"404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f" + // the salt
		"808182838485868788898a8b" + // the nonce
		"9ca33a04d71f826ce2bed65c8e28e5eaf028f616277d2d49c622ff557b"
)

var vectorPlace = vault.Place{Kind: "webhook_secret", Institution: "inst_01m869jj0mfmjrvkkdh6yk34qp", Row: "whk_1"}

func TestTheVectorOpens(t *testing.T) {
	t.Parallel()
	sealed := unhex(vectorSealed)
	ring := keyring(t, oldKey, vectorKey)
	if opened, err := ring.Open(vectorPlace, sealed); err != nil || string(opened) != vectorSecret {
		t.Errorf("it opens with %q, %v", opened, err)
	}
	if id, err := vault.KeyID(sealed); err != nil || id != vectorKeyID || !ring.Has(vectorKeyID) {
		t.Errorf("KeyID = %q, %v", id, err)
	}
}

// The nonces of what Seal makes are random, so a second writer takes them over: with the vector's
// salt and nonce it writes the vector, and with those of Seal what Seal has made.
func TestSealWritesAsDescribed(t *testing.T) {
	t.Parallel()
	if got := hex.EncodeToString(rewrite(t, unhex(vectorSealed))); got != vectorSealed {
		t.Fatalf("the second writer writes\n%s, and not\n%s", got, vectorSealed)
	}
	made := keyring(t, vectorKey, oldKey).Seal(vectorPlace, []byte(vectorSecret))
	if got := rewrite(t, made); !slices.Equal(got, made) {
		t.Errorf("Seal makes\n%x, and the second writer\n%x", made, got)
	}
}

// rewrite seals the vector's secret as the package describes it, with the salt and the nonce of
// something sealed. It shares no code with the package.
func rewrite(t *testing.T, of []byte) []byte {
	t.Helper()
	salt, nonce := of[9:41], of[41:53]
	written := slices.Concat([]byte{1}, derive(nil, "escrowgrid vault key id")[:8], salt)

	additional := slices.Clone(written)
	for _, part := range []string{vectorPlace.Kind, vectorPlace.Institution, vectorPlace.Row} {
		additional = append(binary.BigEndian.AppendUint64(additional, uint64(len(part))), part...)
	}
	block, err := aes.NewCipher(derive(salt, "escrowgrid vault secret"))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(written, nonce...), gcm.Seal(nil, nonce, []byte(vectorSecret), additional)...)
}

// derive is HKDF of the vector's key for at most 32 bytes: two HMACs (RFC 5869, sections 2.2 and
// 2.3).
func derive(salt []byte, purpose string) []byte {
	return mac(mac(salt, unhex(vectorKey)), append([]byte(purpose), 1))
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// unhex reads what stands in this file.
func unhex(text string) []byte {
	read, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return read
}
