package prototype

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// origin is what a thing was in the prototype, as far as it has no other place here. It is kept in
// the metadata, as the member prototype.
type origin struct {
	ID                string          `json:"id"`
	At                string          `json:"at,omitempty"`
	CreatedAt         string          `json:"createdAt,omitempty"`
	UpdatedAt         string          `json:"updatedAt,omitempty"`
	Actor             string          `json:"actor,omitempty"`
	ExternalReference string          `json:"externalReference,omitempty"`
	Reason            string          `json:"reason,omitempty"`
	Metadata          json.RawMessage `json:"metadata,omitempty"`
}

// originName is the member of metadata that has the origin.
const originName = "prototype"

func formatTime(at time.Time) string { return escrow.FormatTime(at) }

// printable replaces control characters that metadata cannot have.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// alone is metadata with the origin and nothing else.
func (o origin) alone() (escrow.Metadata, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(map[string]origin{originName: o})
	return bytes.TrimSpace(text.Bytes()), err
}

// with is metadata with the members that the thing had, and the origin. What is no object, or has
// a member of that name, stands within the origin.
func (o origin) with(metadata []byte) (escrow.Metadata, error) {
	var members map[string]json.RawMessage
	isObject := json.Unmarshal(metadata, &members) == nil
	if _, taken := members[originName]; (!isObject || taken) && len(metadata) > 0 && string(metadata) != "null" {
		o.Metadata = metadata
		return o.alone()
	}

	alone, err := o.alone()
	if err != nil || len(members) == 0 {
		return alone, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, metadata); err != nil {
		return nil, err
	}
	// The origin is the last member.
	joined := append(bytes.TrimSuffix(compact.Bytes(), []byte("}")), ',')
	return append(joined, alone[1:]...), nil
}

// withMetadata builds a command with the metadata that a thing had and its origin, or else with
// its origin alone.
func withMetadata(
	kind Kind, id string, was origin, metadata []byte,
	build func(escrow.Metadata) (escrow.Command, escrow.Faults),
) (command escrow.Command, notes []Line, err error) {
	whole, err := was.with(metadata)
	if err != nil {
		return nil, nil, err
	}

	command, faults := build(whole)
	if faults.Has("metadata") {
		why := faults[slices.IndexFunc(faults, func(f escrow.Fault) bool { return f.Field == "metadata" })]
		notes = append(notes, changed(kind, id, "metadata", "its metadata are left out, as they "+why.Message))
		alone, err := was.alone()
		if err != nil {
			return nil, nil, err
		}
		command, faults = build(alone)
	}
	if err := faults.Err(); err != nil {
		refusal, _ := errors.AsType[*escrow.Error](err)
		return nil, nil, refusal
	}
	return command, notes, nil
}
