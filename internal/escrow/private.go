package escrow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
)

// This file lets entries forget. What a client writes freely, and so what can be about a
// person, is a private member of its event: the body, which is hashed and kept for ever, has
// a commitment to it in its place, and the value stands beside the body, from where it can be
// erased. What was hashed and signed holds as before.
//
// A commitment is SHA-256 over commitmentPrefix, a salt of 32 bytes and the value. The salt
// is HMAC-SHA-256 of the member's name under a secret of the entry, so that one member can
// be disclosed without the others, and none can be guessed once the secret is gone.

// commitmentPrefix keeps commitments apart from the hashes of a journal's Merkle tree, whose
// prefixes are 0 and 1 (RFC 6962, section 2.1).
const commitmentPrefix = 2

// Secret is what the salts of one entry are made of.
type Secret [32]byte

// salt is the salt of a member of the secret's entry.
func (s Secret) salt(member string) (salt [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(member))
	mac.Sum(salt[:0])
	return salt
}

// OfItem returns the secret of one item of a batch, by its place.
func (s Secret) OfItem(item int) (secret Secret) {
	mac := hmac.New(sha256.New, s[:])
	_ = binary.Write(mac, binary.BigEndian, uint32(item)) // A hash takes all.
	mac.Sum(secret[:0])
	return secret
}

// Commitment is what stands in a body in the place of a private value.
type Commitment [sha256.Size]byte

// commitTo returns the commitment to a value.
func commitTo(value string, salt [sha256.Size]byte) Commitment {
	text := make([]byte, 0, 256)
	text = append(text, commitmentPrefix)
	text = append(text, salt[:]...)
	return sha256.Sum256(append(text, value...))
}

// private is a private member of an event. Empty, it is left out.
type private struct {
	// value is a text, or JSON in the bytes that the client wrote; empty where it is
	// not known.
	value string
	// sealed says that there is a commitment, as in all events of entries.
	sealed     bool
	commitment Commitment
}

// unknown reports whether there was a value that is not known: it was erased, or left out of
// what was read.
func (p private) unknown() bool { return p.sealed && p.value == "" }

// IsZero reports whether the member is left out.
func (p private) IsZero() bool { return p.value == "" && !p.sealed }

// privateText is a private member whose value is a text.
type privateText struct{ private }

// privateObject is a private member whose value is a JSON object, or an array.
type privateObject struct{ private }

func textMember(value string) privateText       { return privateText{private{value: value}} }
func objectMember(value Metadata) privateObject { return privateObject{private{value: string(value)}} }

func (p privateObject) metadata() (m Metadata) {
	if p.value != "" {
		m = Metadata(p.value)
	}
	return m
}

// MarshalJSON writes the commitment, and the value itself where there is none yet.
func (p privateText) MarshalJSON() ([]byte, error) {
	if p.sealed {
		return p.appendCommitment(nil), nil
	}
	return jsonwriter.AppendText(nil, p.value), nil
}

// MarshalJSON writes the commitment, and the value itself where there is none yet.
func (p privateObject) MarshalJSON() ([]byte, error) {
	if p.sealed {
		return p.appendCommitment(nil), nil
	}
	return []byte(p.value), nil
}

func (p private) appendCommitment(text []byte) []byte {
	text = append(text, `{"sha256":"`...)
	text = base64.RawURLEncoding.AppendEncode(text, p.commitment[:])
	return append(text, `"}`...)
}

// write writes the member, unless it is left out.
func (p private) write(o *jsonwriter.Object, name string) {
	if p.sealed {
		o.Raw(name, p.appendCommitment(make([]byte, 0, 64)))
	}
}

// UnmarshalJSON reads a commitment.
func (p *private) UnmarshalJSON(text []byte) error {
	var written struct {
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	hash, err := base64.RawURLEncoding.DecodeString(written.SHA256)
	if err != nil || len(hash) != len(p.commitment) {
		return errors.New("a commitment is 32 bytes in base64url")
	}
	p.sealed, p.commitment = true, Commitment(hash)
	return nil
}

// personal is an event with private members.
type personal interface {
	event
	// withPrivate returns the event after a function was called with each of its private
	// members, in the order of the body.
	withPrivate(each func(name string, member *private)) event
}

// A private member that stands in an object within its event, such as one of a written command, has a path:
// the names of the objects and places of arrays that it is in, and its own, as in command.items.3.metadata.
// The path is what its salt is made of, and its opening is found by. Its own name says what it is.

// memberName returns the own name of a private member.
func memberName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// NamesMember reports whether a private member, by its path, is one of some, which are named by theirs or, wherever
// they stand, by their own names.
func NamesMember(members []string, path string) bool {
	return slices.Contains(members, path) || slices.Contains(members, memberName(path))
}

// PrivateMembers lists the own names of all private members, in the order of the alphabet.
func PrivateMembers() []string {
	names := privateMembersOf(eventKinds)
	for _, known := range formTypes {
		none, _ := known.decode([]byte("{}")) // What is not there has no fault.
		none.each(func(path string, _ *private) { names = append(names, memberName(path)) })
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// PrivateMembersOfPositions lists those of the entries of positions.
func PrivateMembersOfPositions() []string { return privateMembersOf(positionEventKinds) }

func privateMembersOf(kinds []eventKind) (names []string) {
	for _, known := range kinds {
		none, _ := known.decode([]byte("{}")) // What is not there has no fault.
		if open, ok := none.(personal); ok {
			open.withPrivate(func(path string, _ *private) { names = append(names, memberName(path)) })
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// seal puts commitments in the place of an event's private values, which it returns as they
// are stored beside the body; nil where there are none.
func seal(e event, secret Secret) (sealed event, stored []byte) {
	open, ok := e.(personal)
	if !ok {
		return e, nil
	}

	sealed = open.withPrivate(func(name string, member *private) {
		if member.value == "" {
			return
		}
		if stored == nil {
			stored = append(make([]byte, 0, 128), secret[:]...)
		}
		stored = binary.AppendUvarint(stored, uint64(len(member.value)))
		stored = append(stored, member.value...)
		member.sealed, member.commitment = true, commitTo(member.value, secret.salt(name))
	})
	return sealed, stored
}

// errNotPrivate is why what stands beside a body cannot be read.
var errNotPrivate = errors.New("what stands beside it is not a secret and the values of its private members")

// unseal gives an event that was read its private values, as seal has stored them.
func unseal(e event, stored []byte) (event, error) {
	if stored == nil {
		return e, nil
	}
	open, ok := e.(personal)
	if !ok || len(stored) <= len(Secret{}) {
		return nil, errNotPrivate
	}

	rest, failed := stored[len(Secret{}):], false
	e = open.withPrivate(func(_ string, member *private) {
		if !member.sealed || failed {
			return
		}
		length, size := binary.Uvarint(rest)
		// A last byte of 0 is that of an empty value, or of a length in more bytes than seal takes.
		if size <= 0 || rest[size-1] == 0 || length > uint64(len(rest)-size) {
			failed = true
			return
		}
		member.value, rest = string(rest[size:size+int(length)]), rest[size+int(length):]
	})
	if failed || len(rest) > 0 {
		return nil, errNotPrivate
	}
	return e, nil
}

// eachPrivate calls a function with each private member that the entry has.
func (e Entry) eachPrivate(do func(name string, member *private)) {
	if open, ok := e.event.(personal); ok {
		open.withPrivate(func(name string, member *private) {
			if member.sealed {
				do(name, member)
			}
		})
	}
}

// PrivateMembers lists the paths of the private members that the entry has.
func (e Entry) PrivateMembers() (members []string) {
	e.eachPrivate(func(name string, _ *private) { members = append(members, name) })
	return members
}

// Unknown lists the paths of the private members of the entry whose values are not known: they were
// erased, or left out of what was read.
func (e Entry) Unknown() (members []string) {
	e.eachPrivate(func(name string, member *private) {
		if member.unknown() {
			members = append(members, name)
		}
	})
	return members
}

// HasPrivate reports whether the value of a private member of the entry is known.
func (e Entry) HasPrivate() (has bool) {
	e.eachPrivate(func(_ string, member *private) { has = has || member.value != "" })
	return has
}

// opened returns the event with the values of its private members in the place of the
// commitments, and without those that are not known.
func (e Entry) opened() event {
	open, ok := e.event.(personal)
	if !ok {
		return e.event
	}
	return open.withPrivate(func(_ string, member *private) { *member = private{value: member.value} })
}
