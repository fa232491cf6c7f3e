package translog

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Checkpoint says which tree a log was at a moment. Its text is that of C2SP
// tlog-checkpoint, with the moment as an extension line; signed, it is a C2SP signed
// note, which has room for the signatures of others.
type Checkpoint struct {
	// Origin names the log: the operator's name, a slash and the institution's id.
	Origin string
	// Size counts the entries, which are those of the sequences 1 to Size.
	Size int64
	Root Hash
	At   time.Time
}

const timePrefix = "time "

// Text returns the lines that are signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", c.Origin, c.Size, c.Root, timePrefix, escrow.FormatTime(c.At))
}

// ParseCheckpoint reads what Text writes. Extension lines that it does not know are
// passed over, as the format has it.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	const least = 4 // three lines, and what follows the last newline
	if len(lines) < least || lines[len(lines)-1] != "" || lines[0] == "" {
		return Checkpoint{}, errors.New("a checkpoint has at least three lines, each of which ends")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is no size", lines[1])
	}
	c := Checkpoint{Origin: lines[0], Size: size}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is no root", lines[2])
	}
	copy(c.Root[:], root)
	for _, line := range lines[3 : len(lines)-1] {
		if line == "" {
			return Checkpoint{}, errors.New("checkpoint: a line is empty")
		}
		if at, isTime := strings.CutPrefix(line, timePrefix); isTime {
			if c.At, err = escrow.ParseTime(at); err != nil {
				return Checkpoint{}, fmt.Errorf("checkpoint: time %w", err)
			}
		}
	}
	return c, nil
}

// keyParts is how many parts a signing key has: PRIVATE, KEY, a name without a plus
// sign, a hash, and base64, which may have some.
const keyParts = 5

// Signer signs checkpoints with one Ed25519 key.
type Signer struct {
	signer   note.Signer
	verifier string
}

// IsName reports whether a name can be that of a key and of a log: it is not empty, and
// has no white space and no plus sign.
func IsName(name string) bool {
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, func(c rune) bool { return c == '+' || unicode.IsSpace(c) || unicode.IsControl(c) })
}

// GenerateKey makes a signing key of a name, PRIVATE+KEY+name+hash+base64 as in
// golang.org/x/mod/sumdb/note, and what signs with it.
func GenerateKey(name string) (key string, signer Signer, err error) {
	if key, _, err = note.GenerateKey(rand.Reader, name); err != nil {
		return "", Signer{}, err
	}
	signer, err = NewSigner(key)
	return key, signer, err
}

// NewSigner reads a key that GenerateKey has made. The key goes into no error.
func NewSigner(key string) (Signer, error) {
	signer, err := note.NewSigner(key)
	if err != nil {
		return Signer{}, errors.New("is no signing key: it takes PRIVATE+KEY+name+hash+base64")
	}
	// NewSigner has checked the form, and that it is a key of Ed25519: the last part is a
	// byte that says so, and the seed.
	encoded, err := base64.StdEncoding.DecodeString(strings.SplitN(key, "+", keyParts)[keyParts-1])
	if err != nil {
		return Signer{}, errors.New("is no signing key")
	}
	public, ok := ed25519.NewKeyFromSeed(encoded[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Signer{}, errors.New("is no signing key of Ed25519")
	}
	verifier, err := note.NewEd25519VerifierKey(signer.Name(), public)
	return Signer{signer, verifier}, err
}

// Name returns the name of the key.
func (s Signer) Name() string { return s.signer.Name() }

// VerifierKey returns the public key, as name+hash+base64.
func (s Signer) VerifierKey() string { return s.verifier }

// Sign returns a checkpoint as a signed note, with a signature of each signer.
func (c Checkpoint) Sign(signers ...Signer) ([]byte, error) {
	all := make([]note.Signer, len(signers))
	for i, s := range signers {
		all[i] = s.signer
	}
	return note.Sign(&note.Note{Text: c.Text()}, all...)
}

// Verifiers are the public keys that are trusted.
type Verifiers struct{ known note.Verifiers }

// NewVerifiers reads public keys, as name+hash+base64.
func NewVerifiers(keys ...string) (Verifiers, error) {
	all := make([]note.Verifier, len(keys))
	for i, key := range keys {
		var err error
		if all[i], err = note.NewVerifier(key); err != nil {
			return Verifiers{}, fmt.Errorf("%q is no public key: it takes name+hash+base64", key)
		}
	}
	return Verifiers{note.VerifierList(all...)}, nil
}

// Open returns the checkpoint of a signed note. One that no trusted key has signed, or
// with a signature of a trusted key that is wrong, is an error; signatures of others
// are passed over.
func (v Verifiers) Open(signed []byte) (Checkpoint, error) {
	opened, err := note.Open(signed, v.known)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return ParseCheckpoint(opened.Text)
}

// Unverified returns the checkpoint of a signed note without a look at its signatures:
// for one's own.
func Unverified(signed []byte) (Checkpoint, error) {
	// The text of a note ends before its last empty line.
	end := strings.LastIndex(string(signed), "\n\n")
	if end < 0 {
		return Checkpoint{}, errors.New("checkpoint: it has no signatures")
	}
	return ParseCheckpoint(string(signed[:end+1]))
}

// Origin returns the name of an institution's log.
func Origin(name string, institution escrow.InstitutionID) string {
	return name + "/" + institution.String()
}
