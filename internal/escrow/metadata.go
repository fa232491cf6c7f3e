package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of metadata.
const (
	// MaxMetadataSize bounds a metadata object, in bytes of compact JSON.
	MaxMetadataSize = 64 << 10
	// MaxMetadataDepth bounds how deep a metadata object may nest; {} is 1 deep.
	MaxMetadataDepth = 10
)

// Metadata is a JSON object that the platform keeps for its client and never
// looks into: compact, its members in the client's order. Nil means none.
type Metadata []byte

// MarshalJSON returns the object as it is.
func (m Metadata) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	return m, nil
}

// UnmarshalJSON keeps the object's bytes. What is not an object is an error; null means none.
func (m *Metadata) UnmarshalJSON(object []byte) error {
	*m = nil
	if string(object) == "null" {
		return nil
	}
	if len(object) == 0 || object[0] != '{' {
		return errors.New("must be a JSON object")
	}

	*m = bytes.Clone(object)
	return nil
}

// checkMetadata refuses what is not an object within the bounds. It is compact JSON.
func checkMetadata(object []byte) error {
	if object[0] != '{' {
		return errors.New("must be a JSON object")
	}
	if len(object) > MaxMetadataSize {
		return fmt.Errorf("must have at most %d bytes", MaxMetadataSize)
	}
	if !utf8.Valid(object) {
		return errors.New("must be valid UTF-8")
	}

	tokens := json.NewDecoder(bytes.NewReader(object))
	tokens.UseNumber()
	for depth := 0; ; {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("must be a JSON object")
		}

		switch token := token.(type) {
		case json.Delim:
			if token == '{' || token == '[' {
				depth++
			} else {
				depth--
			}
			if depth > MaxMetadataDepth {
				return fmt.Errorf("must be at most %d deep", MaxMetadataDepth)
			}
		case string:
			if strings.ContainsFunc(token, isForbiddenInMetadata) {
				return errors.New("must not contain control characters other than tabs and line ends")
			}
		}
	}
}

// MetadataPatch is a change of metadata as JSON Merge Patch (RFC 7396) has it: an object
// whose members take the place of those there are, with null for those to be removed. The
// patch null removes all; nil changes nothing.
type MetadataPatch []byte

// UnmarshalJSON keeps the patch's bytes. What is neither an object nor null is an error.
func (p *MetadataPatch) UnmarshalJSON(value []byte) error {
	if string(value) != "null" && (len(value) == 0 || value[0] != '{') {
		return errors.New("must be a JSON object, or null")
	}
	*p = bytes.Clone(value)
	return nil
}

// apply returns the metadata that a patch makes of others. What is not in the patch keeps its
// bytes and its place; what is new comes last.
func (p MetadataPatch) apply(before Metadata) (Metadata, error) {
	switch {
	case p == nil:
		return before, nil
	case string(p) == "null":
		return nil, nil
	}

	after, err := mergePatch(before, p)
	if err != nil {
		return nil, err
	}
	if string(after) == "{}" {
		return nil, nil
	}
	return Metadata(after), checkMetadata(after)
}

func isForbiddenInMetadata(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}
