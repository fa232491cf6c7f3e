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

func isForbiddenInMetadata(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}
