package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of the texts that clients give.
const (
	// MaxTextLength bounds names, labels and references, in characters.
	MaxTextLength = 255
	// MaxReasonLength bounds a transition's reason, in characters.
	MaxReasonLength = 1000
	// MaxMetadataSize bounds a metadata object, in bytes of compact JSON.
	MaxMetadataSize = 64 << 10
	// MaxMetadataDepth bounds how deep a metadata object may nest; {} is 1 deep.
	MaxMetadataDepth = 10
)

// text reads a required text: trimmed, 1 to MaxTextLength characters, none of
// them a control character.
func (f *Faults) text(field, value string) string {
	value = strings.TrimSpace(value)
	if value == "" {
		f.Add(field, "is required")
	}
	f.check(field, checkText(value, MaxTextLength))
	return value
}

// optionalText reads a text that may be missing (nil), but not empty.
func (f *Faults) optionalText(field string, value *string, limit int) string {
	if value == nil {
		return ""
	}
	trimmed := strings.TrimSpace(*value)
	if trimmed == "" {
		f.Add(field, "must not be empty: leave it out instead")
	}
	f.check(field, checkText(trimmed, limit))
	return trimmed
}

func checkText(value string, limit int) error {
	switch {
	case !utf8.ValidString(value):
		return errors.New("must be valid UTF-8")
	case strings.ContainsFunc(value, unicode.IsControl):
		return errors.New("must not contain control characters")
	case utf8.RuneCountInString(value) > limit:
		return fmt.Errorf("must have at most %d characters", limit)
	}
	return nil
}

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

// UnmarshalJSON keeps the object's bytes.
func (m *Metadata) UnmarshalJSON(object []byte) error {
	*m = nil
	if string(object) != "null" {
		*m = bytes.Clone(object)
	}
	return nil
}

// metadata reads an optional JSON object within the bounds.
func (f *Faults) metadata(field string, object []byte) Metadata {
	if len(object) == 0 || string(object) == "null" {
		return nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, object); err != nil {
		f.Add(field, "must be a JSON object")
		return nil
	}
	f.check(field, checkMetadata(compact.Bytes()))
	return compact.Bytes()
}

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

// rfc3339 is the whole form of a moment: time.Parse also reads texts that are not
// RFC 3339, like "2027-01-31T1:00:00,5Z".
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// FormatTime writes a moment as RFC 3339 in UTC with exactly six decimals.
func FormatTime(at time.Time) string { return string(AppendTime(nil, at)) }

// AppendTime appends what FormatTime returns.
func AppendTime(text []byte, at time.Time) []byte {
	at = at.UTC()
	// The standard library has a short cut for RFC 3339 without decimals.
	text = at.AppendFormat(text, time.RFC3339)
	const microseconds = "000000"
	text[len(text)-1] = '.'
	digits := len(text) + len(microseconds)
	text = append(append(text, microseconds...), 'Z')
	for rest, i := at.Nanosecond()/1000, digits-1; rest > 0; rest, i = rest/10, i-1 {
		text[i] += byte(rest % 10)
	}
	return text
}

// ParseTime reads an RFC 3339 moment of any offset. Finer parts than a
// microsecond are cut off.
func ParseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !rfc3339.MatchString(text) {
		return time.Time{}, errors.New("must be an RFC 3339 time, like 2027-01-31T12:00:00Z")
	}
	// Beyond these years a time does not fit every format that it is written to.
	if year := at.UTC().Year(); year < 1970 || year > 9999 {
		return time.Time{}, errors.New("must be in the years 1970 to 9999")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

// optionalTime reads a moment that may be missing (nil).
func (f *Faults) optionalTime(field string, value *string) *time.Time {
	if value == nil {
		return nil
	}
	at, err := ParseTime(*value)
	if err != nil {
		f.check(field, err)
		return nil
	}
	return &at
}
