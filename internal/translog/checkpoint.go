package translog

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Checkpoint commits to a log's entries at a time. Its text is that of C2SP
// tlog-checkpoint, with the time as an extension line. Signed, it is a C2SP signed note,
// to which others can add their signatures.
type Checkpoint struct {
	// Origin identifies the log; see [Origin].
	Origin string
	// Size is the number of entries: the checkpoint covers the sequences 1 to Size.
	Size int64
	Root Hash
	// At has the precision of a microsecond.
	At time.Time
}

const timePrefix = "time "

// Text returns the lines that are signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", c.Origin, c.Size, c.Root, timePrefix, escrow.FormatTime(c.At))
}

// ParseCheckpoint parses the text of a checkpoint. It ignores extension lines that it
// does not know, as the format demands.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	const minLines = 4 // Three lines, and the empty string after the last newline.
	if len(lines) < minLines || lines[len(lines)-1] != "" || lines[0] == "" {
		return Checkpoint{}, errors.New("a checkpoint has at least three lines, each with a newline")
	}

	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a size", lines[1])
	}
	c := Checkpoint{Origin: lines[0], Size: size}

	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a root", lines[2])
	}
	copy(c.Root[:], root)

	for _, line := range lines[3 : len(lines)-1] {
		if line == "" {
			return Checkpoint{}, errors.New("checkpoint: a line is empty")
		}
		if at, isTime := strings.CutPrefix(line, timePrefix); isTime {
			if !c.At.IsZero() {
				return Checkpoint{}, errors.New("checkpoint: two times")
			}
			if c.At, err = escrow.ParseWrittenTime(at); err != nil {
				return Checkpoint{}, fmt.Errorf("checkpoint: time %w", err)
			}
		}
	}
	return c, nil
}

// keyParts is the number of a signing key's parts, which plus signs separate: PRIVATE,
// KEY, a name, a hash, and base64. Only the last one may contain plus signs itself.
const keyParts = 5

// verifierKeyParts is the number of a public key's parts: a name, a hash, and base64.
const verifierKeyParts = 3

// Algorithm is that of all signatures.
const Algorithm = "Ed25519"

// Signer signs checkpoints with one Ed25519 key.
type Signer struct {
	signer      note.Signer
	verifierKey string
}

// IsName reports whether a name can name a key and a log: it is valid UTF-8, is not empty,
// and has no white space, control character or plus sign.
func IsName(name string) bool {
	isForbidden := func(c rune) bool { return c == '+' || unicode.IsSpace(c) || unicode.IsControl(c) }
	return name != "" && utf8.ValidString(name) && !strings.ContainsFunc(name, isForbidden)
}

// GenerateKey generates a signing key with a name, PRIVATE+KEY+name+hash+base64 as in
// golang.org/x/mod/sumdb/note, and its signer. The name must satisfy IsName.
func GenerateKey(name string) (key string, signer Signer, err error) {
	if key, _, err = note.GenerateKey(rand.Reader, name); err != nil {
		return "", Signer{}, err
	}
	signer, err = NewSigner(key)
	return key, signer, err
}

// NewSigner parses a key in the form of GenerateKey. Its errors do not contain the key.
func NewSigner(key string) (Signer, error) {
	signer, err := note.NewSigner(key)
	if err != nil {
		return Signer{}, errors.New("is not a signing key of the form PRIVATE+KEY+name+hash+base64")
	}

	// note.NewSigner has checked that the last part is a byte for Ed25519 and a seed, but it
	// does not tell the public key.
	encoded, err := base64.StdEncoding.DecodeString(strings.SplitN(key, "+", keyParts)[keyParts-1])
	if err != nil {
		return Signer{}, errors.New("is not a signing key")
	}
	public, ok := ed25519.NewKeyFromSeed(encoded[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Signer{}, errors.New("is not a signing key of Ed25519")
	}

	verifierKey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	return Signer{signer: signer, verifierKey: verifierKey}, err
}

// Name returns the name of the key.
func (s Signer) Name() string { return s.signer.Name() }

// VerifierKey returns the public key, as name+hash+base64.
func (s Signer) VerifierKey() string { return s.verifierKey }

// Sign returns the checkpoint as a signed note with a signature of each signer.
func (c Checkpoint) Sign(signers ...Signer) ([]byte, error) {
	all := make([]note.Signer, len(signers))
	for i, s := range signers {
		all[i] = s.signer
	}
	return note.Sign(&note.Note{Text: c.Text()}, all...)
}

// Verifiers are trusted public keys.
type Verifiers struct {
	known note.Verifiers
	keys  []string
}

// NewVerifiers parses public keys, as name+hash+base64.
func NewVerifiers(keys ...string) (Verifiers, error) {
	all := make([]note.Verifier, len(keys))
	for i, key := range keys {
		var err error
		if all[i], err = note.NewVerifier(key); err != nil {
			return Verifiers{}, fmt.Errorf("%q is not a public key of the form name+hash+base64", key)
		}
	}
	return Verifiers{known: note.VerifierList(all...), keys: keys}, nil
}

// Open verifies a signed note and returns its checkpoint. The note must have a signature
// of at least one trusted key and no wrong signature of one; Open ignores signatures of
// other keys.
func (v Verifiers) Open(signed []byte) (Checkpoint, error) {
	checkpoint, _, err := v.OpenSigned(signed)
	return checkpoint, err
}

// OpenSigned is Open, and returns the trusted keys that have signed, in the order of their
// signatures.
func (v Verifiers) OpenSigned(signed []byte) (checkpoint Checkpoint, keys []string, err error) {
	opened, err := note.Open(signed, v.known)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint: %w", err)
	}
	// Bits that no byte has would let one signature be written in several ways.
	for _, signature := range slices.Concat(opened.Sigs, opened.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
			return Checkpoint{}, nil, fmt.Errorf("checkpoint: a signature of %s: %w", signature.Name, err)
		}
	}

	for _, signature := range opened.Sigs {
		keys = append(keys, v.key(signature))
	}
	checkpoint, err = ParseCheckpoint(opened.Text)
	return checkpoint, keys, err
}

// key returns the public key that a signature names.
func (v Verifiers) key(signature note.Signature) string {
	named := fmt.Sprintf("%s+%08x+", signature.Name, signature.Hash)
	return v.keys[slices.IndexFunc(v.keys, func(key string) bool { return strings.HasPrefix(key, named) })]
}

// Fingerprint returns what a public key, name+hash+base64, can be compared by: the SHA-256 of its
// name, a newline and its bytes, in hexadecimal digits, of which the key's hash is the first eight.
func Fingerprint(verifierKey string) (string, error) {
	parts := strings.SplitN(verifierKey, "+", verifierKeyParts)
	key, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(parts) != verifierKeyParts {
		return "", fmt.Errorf("%q is not a public key", verifierKey)
	}
	hash := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	return hex.EncodeToString(hash[:]), nil
}

// Unverified returns the checkpoint of a signed note without verifying its signatures. It
// is for notes from the server's own database.
func Unverified(signed []byte) (Checkpoint, error) {
	// The text of a note ends before its last empty line.
	end := strings.LastIndex(string(signed), "\n\n")
	if end < 0 {
		return Checkpoint{}, errors.New("checkpoint: the note has no signatures")
	}
	return ParseCheckpoint(string(signed[:end+1]))
}

// Origin returns the origin of an institution's log: the operator's part of it, a slash
// and the institution's id.
func Origin(operator string, institution escrow.InstitutionID) string {
	return operator + "/" + institution.String()
}

// Institution returns whose log the checkpoint is of, by its origin.
func (c Checkpoint) Institution() (of escrow.InstitutionID, err error) {
	operator := strings.LastIndex(c.Origin, "/")
	err = of.UnmarshalText([]byte(c.Origin[operator+1:]))
	if err == nil && operator < 1 {
		err = errors.New("no operator stands before it")
	}
	if err != nil {
		return of, fmt.Errorf("the origin of a checkpoint, %q, ends with no institution's id: %w", c.Origin, err)
	}
	return of, nil
}
