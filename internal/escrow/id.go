package escrow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ID identifies one resource of the kind K. It holds a UUIDv7 (RFC 9562) and is
// written as a TypeID: the kind's prefix, an underscore, and the UUID in 26
// characters of Crockford's base32. IDs of one institution sort in the order in
// which their resources were created.
type ID[K IDKind] [16]byte

// Distinct types keep an asset's id from standing where a position's is meant.
type (
	// InstitutionID names an Institution: inst_….
	InstitutionID = ID[institutionKind]
	// KeyID names an APIKey: key_….
	KeyID = ID[keyKind]
	// UserID names a User: usr_….
	UserID = ID[userKind]
	// OperatorID names one of the operator's people: opr_…. It is made by NewOperatorID, and is no
	// UUIDv7.
	OperatorID = ID[operatorKind]
	// SessionID names a Session: ses_….
	SessionID = ID[sessionKind]
	// TemplateID names an AssetTemplate: tmpl_….
	TemplateID = ID[templateKind]
	// AssetID names an Asset: ast_….
	AssetID = ID[assetKind]
	// PositionID names a Position: pos_….
	PositionID = ID[positionKind]
	// ErasureID names an Erasure: ers_….
	ErasureID = ID[erasureKind]
	// ApprovalID names an Approval: apr_….
	ApprovalID = ID[approvalKind]
	// HoldID names a Hold: hld_….
	HoldID = ID[holdKind]
	// EntryID names an Entry or a SecurityEvent: entry_….
	EntryID = ID[entryKind]
)

// IDKind is a kind of resource that has ids; the kinds are those listed above.
type IDKind interface{ prefix() string }

type (
	institutionKind struct{}
	keyKind         struct{}
	userKind        struct{}
	operatorKind    struct{}
	sessionKind     struct{}
	templateKind    struct{}
	assetKind       struct{}
	positionKind    struct{}
	erasureKind     struct{}
	approvalKind    struct{}
	holdKind        struct{}
	entryKind       struct{}
)

func (institutionKind) prefix() string { return "inst" }
func (keyKind) prefix() string         { return "key" }
func (userKind) prefix() string        { return "usr" }
func (operatorKind) prefix() string    { return "opr" }
func (sessionKind) prefix() string     { return "ses" }
func (templateKind) prefix() string    { return "tmpl" }
func (assetKind) prefix() string       { return "ast" }
func (positionKind) prefix() string    { return "pos" }
func (erasureKind) prefix() string     { return "ers" }
func (approvalKind) prefix() string    { return "apr" }
func (holdKind) prefix() string        { return "hld" }
func (entryKind) prefix() string       { return "entry" }

// ParseID reads a TypeID of the kind K. It accepts exactly what String writes.
func ParseID[K IDKind](text string) (ID[K], error) {
	var kind K
	suffix, ok := strings.CutPrefix(text, kind.prefix()+"_")
	if !ok {
		return ID[K]{}, fmt.Errorf("must begin with %q", kind.prefix()+"_")
	}
	id, err := decodeBase32(suffix)
	return ID[K](id), err
}

// IsID reports whether a text is an id as String writes it, of any kind.
func IsID(text string) bool {
	prefix, suffix, _ := strings.Cut(text, "_")

	for _, kind := range []IDKind{
		institutionKind{},
		keyKind{},
		userKind{},
		operatorKind{},
		sessionKind{},
		templateKind{},
		assetKind{},
		positionKind{},
		erasureKind{},
		approvalKind{},
		holdKind{},
		entryKind{},
	} {
		if kind.prefix() == prefix {
			_, err := decodeBase32(suffix)
			return err == nil
		}
	}
	return false
}

// String returns the TypeID, e.g. "pos_01jd8m3q5yf7wbt0x4a2k9r6ce".
func (id ID[K]) String() string {
	text, _ := id.AppendText(make([]byte, 0, maxIDLength))
	return string(text)
}

// AppendText implements encoding.TextAppender with the TypeID. It never fails.
func (id ID[K]) AppendText(text []byte) ([]byte, error) {
	var kind K
	text = append(text, kind.prefix()...)
	text = append(text, '_')
	return appendBase32(text, id), nil
}

// MarshalText implements encoding.TextMarshaler with the TypeID.
func (id ID[K]) MarshalText() ([]byte, error) {
	return id.AppendText(make([]byte, 0, maxIDLength))
}

// UnmarshalText implements encoding.TextUnmarshaler; see ParseID.
func (id *ID[K]) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID[K](string(text))
	return err
}

// IsZero reports whether the id was never set.
func (id ID[K]) IsZero() bool { return id == ID[K]{} }

// Compare orders ids by their bytes, which is also the order of their texts.
func (id ID[K]) Compare(other ID[K]) int { return bytes.Compare(id[:], other[:]) }

// NewUUID lays out a UUIDv7 for a moment and 62 random bits (the upper two of
// random are ignored). The 12 bits after the version hold the fraction of the
// millisecond (RFC 9562, section 6.2, method 3), so UUIDs of different
// microseconds sort by time.
func NewUUID(at time.Time, random uint64) (uuid [16]byte) {
	binary.BigEndian.PutUint64(uuid[:8], uuidTime(at))
	binary.BigEndian.PutUint64(uuid[8:], 0b10<<62|random&(1<<62-1))
	return uuid
}

// FirstUUID returns the lowest UUID that a resource created at or after the given
// moment can have: the bound of a search by time of creation.
func FirstUUID(at time.Time) (uuid [16]byte) {
	binary.BigEndian.PutUint64(uuid[:8], uuidTime(at))
	return uuid
}

// uuidTime returns the upper half of a UUIDv7: 48 bits of Unix milliseconds, the
// version, and the microseconds within the millisecond scaled to 12 bits.
func uuidTime(at time.Time) uint64 {
	micros := max(at.UnixMicro(), 0)
	millis, rest := uint64(micros)/1000, uint64(micros)%1000
	return millis<<16 | 7<<12 | rest*4096/1000
}

// Crockford's base32 as the TypeID specification has it: lower case only.
const (
	base32Alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	base32Length   = 26
	maxIDLength    = len("entry_") + base32Length
)

var errBase32 = errors.New("must end in 26 characters of lower-case base32 (0-9, a-z without i, l, o, u)")

// appendBase32 writes 128 bits as 26 characters: 3 bits, then 25 times 5.
func appendBase32(text []byte, id [16]byte) []byte {
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	var encoded [base32Length]byte
	for i := base32Length - 1; i >= 0; i-- {
		encoded[i] = base32Alphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return append(text, encoded[:]...)
}

func decodeBase32(text string) (id [16]byte, err error) {
	// The first character holds three bits: above 7 the value would not fit 128.
	if len(text) != base32Length || text[0] > '7' {
		return id, errBase32
	}

	var high, low uint64
	for i := range len(text) {
		five := strings.IndexByte(base32Alphabet, text[i])
		if five < 0 {
			return id, errBase32
		}
		high = high<<5 | low>>59
		low = low<<5 | uint64(five)
	}

	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id, nil
}
