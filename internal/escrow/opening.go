package escrow

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// This file shows single private values to whoever has the entries' bodies.

// Opening is what shows that a private member had a value: with the member's salt, its
// commitment can be made again.
type Opening struct {
	Salt  [sha256.Size]byte
	Value string
}

// openingJSON is an Opening as JSON. The value is a text in any case: of an object it is the
// JSON as it was committed to, which no reader then writes in another way.
type openingJSON struct {
	Salt  string `json:"salt"`
	Value string `json:"value"`
}

// MarshalJSON implements json.Marshaler; see openingJSON.
func (o Opening) MarshalJSON() ([]byte, error) {
	return marshal(openingJSON{base64.RawURLEncoding.EncodeToString(o.Salt[:]), o.Value})
}

// UnmarshalJSON implements json.Unmarshaler; see openingJSON.
func (o *Opening) UnmarshalJSON(text []byte) error {
	var written openingJSON
	if err := json.Unmarshal(text, &written); err != nil {
		return err
	}
	salt, err := base64.RawURLEncoding.DecodeString(written.Salt)
	if err != nil || len(salt) != len(o.Salt) {
		return errors.New("a salt is 32 bytes in base64url")
	}
	o.Salt, o.Value = [sha256.Size]byte(salt), written.Value
	return nil
}

// Openings are those of an entry's private members, by their paths.
type Openings map[string]Opening

// ParseOpenings reads openings, which are written in one way alone: as JSON without white space,
// in the order of their names.
func ParseOpenings(text []byte) (Openings, error) {
	var openings Openings
	if err := json.Unmarshal(text, &openings); err != nil {
		return nil, err
	}
	written, err := marshal(openings)
	if err != nil || len(openings) == 0 || !bytes.Equal(written, text) {
		return nil, errors.New("openings are not written as they are")
	}
	return openings, nil
}

// Text returns the openings as they are written; see ParseOpenings.
func (o Openings) Text() ([]byte, error) { return marshal(o) }

// Openings returns what shows the values of the entry's private members, as far as they are
// known.
func (e Entry) Openings() Openings {
	if e.openings != nil || e.Private == nil {
		return e.openings
	}

	secret, openings := Secret(e.Private), make(Openings)
	e.eachPrivate(func(name string, member *private) {
		if member.value != "" {
			openings[name] = Opening{Salt: secret.salt(name), Value: member.value}
		}
	})
	return openings
}

// Only returns the openings of some members, which are named by their paths or by their own names.
func (o Openings) Only(members []string) Openings {
	left := make(Openings, len(members))
	for name, opening := range o {
		if NamesMember(members, name) {
			left[name] = opening
		}
	}
	return left
}

// Without returns the openings without those of some members; see Only.
func (o Openings) Without(members []string) Openings {
	left := make(Openings, len(o))
	for name, opening := range o {
		if !NamesMember(members, name) {
			left[name] = opening
		}
	}
	return left
}

// withOpenings gives an event that was read the values that openings show.
func withOpenings(e event, openings Openings) (event, error) {
	open, ok := e.(personal)
	if !ok && len(openings) > 0 {
		return nil, errNotPrivate
	}

	used := 0
	if ok {
		e = open.withPrivate(func(name string, member *private) {
			if opening, shown := openings[name]; shown && member.sealed && opening.Value != "" {
				member.value = opening.Value
				used++
			}
		})
	}
	if used < len(openings) {
		return nil, errNotPrivate
	}
	return e, nil
}

// CheckPrivate returns an error where a private value is not the one that the body has a
// commitment to.
func (e Entry) CheckPrivate() error {
	var err error
	openings := e.Openings()
	e.eachPrivate(func(name string, member *private) {
		opening, known := openings[name]
		if known && err == nil && commitTo(opening.Value, opening.Salt) != member.commitment {
			err = fmt.Errorf("its %s is not the one that it has a commitment to", name)
		}
	})
	return err
}
