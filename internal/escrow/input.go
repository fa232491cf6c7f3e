package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// This file reads what clients give. Each reader returns the value and notes what is wrong
// with it as a fault of its field, so that all faults of an input are reported at once.

// Fault is one thing that is wrong with a request's input.
type Fault struct {
	// Field is the path of the value in the body, or the name of the parameter:
	// "position.minAmount".
	Field string `json:"field"`
	// Message continues a sentence that begins with the field's name.
	Message string `json:"message"`
}

// Faults is what is wrong with an input, all of it, so that it can be reported at once. An
// input without faults is valid. The zero value is ready for use.
type Faults []Fault

// MaxFaults bounds the faults that are noted of one input: a body of one mebibyte can hold
// a hundred thousand unknown members.
const MaxFaults = 100

// Add notes a fault, unless the field already has one: the first is the cause of
// those that follow it.
func (f *Faults) Add(field, format string, args ...any) {
	if len(*f) < MaxFaults && !f.Has(field) {
		*f = append(*f, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
	}
}

// Has reports whether the field, or an object that it is in, has a fault.
func (f *Faults) Has(field string) bool {
	return slices.ContainsFunc(*f, func(known Fault) bool {
		return known.Field == field || strings.HasPrefix(field, known.Field+".")
	})
}

// Merge adds another input's faults.
func (f *Faults) Merge(other Faults) {
	for _, fault := range other {
		f.Add(fault.Field, "%s", fault.Message)
	}
}

// Err returns nil where there is no fault, and otherwise the refusal that lists
// them.
func (f *Faults) Err() error {
	if refusal := f.refusal(); refusal != nil {
		return refusal
	}
	return nil
}

// refusal is Err for callers that keep the refusal as such.
func (f *Faults) refusal() *Error {
	if len(*f) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalidInput, Detail: f.sentence(), Faults: *f}
}

// sentence tells the first fault, and how many more there are.
func (f *Faults) sentence() string {
	first := (*f)[0].Field + " " + (*f)[0].Message
	switch more := len(*f) - 1; more {
	case 0:
		return first + "."
	case 1:
		return first + "; errors has one more fault."
	default:
		return fmt.Sprintf("%s; errors has %d more faults.", first, more)
	}
}

// invalid makes the refusal of a single field.
func invalid(field, format string, args ...any) *Error {
	var faults Faults
	faults.Add(field, format, args...)
	return faults.refusal()
}

// check notes err, if there is one, as the fault of a field.
func (f *Faults) check(field string, err error) {
	if err != nil {
		f.Add(field, "%s", err.Error())
	}
}

// Bounds of the texts that clients give.
const (
	// MaxTextLength bounds names, labels and references, in characters.
	MaxTextLength = 255
	// MaxPersonLength bounds the name and the e-mail address of a user, in characters.
	MaxPersonLength = 320
	// MaxReasonLength bounds a transition's reason, in characters.
	MaxReasonLength = 1000
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

// reason reads a reason or a comment that must be given, of up to MaxReasonLength characters.
func (f *Faults) reason(field, value string) string {
	if value == "" {
		f.Add(field, "is required")
	}
	return f.optionalText(field, &value, MaxReasonLength)
}

// change reads a text that takes the place of another, which nil leaves as it is.
func (f *Faults) change(field string, value *string) *string {
	if value == nil {
		return nil
	}
	text := f.text(field, *value)
	return &text
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
	case strings.ContainsFunc(value, isDirectional):
		return errors.New("must not contain characters that turn the direction of text")
	case value != "" && !strings.ContainsFunc(value, isVisible):
		return errors.New("must have a character that can be seen")
	case utf8.RuneCountInString(value) > limit:
		return fmt.Errorf("must have at most %d characters", limit)
	}
	return nil
}

// isDirectional tells the characters with which a text can show what it does not say: the
// embeddings, overrides and isolates of Unicode Standard Annex 9, of which none is closed where
// a console puts the text into a line. The marks of one place (U+200E, U+200F) are allowed.
func isDirectional(r rune) bool { return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 }

// isVisible tells characters that are seen by themselves, as spaces, zero-width ones and
// accents without a letter are not.
func isVisible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.IsMark(r) && !isBlank(r)
}

// isBlank tells letters and symbols whose picture is empty.
func isBlank(r rune) bool {
	return slices.Contains([]rune{0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}, r)
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

// checkFuture refuses a moment that is not after now.
func checkFuture(field string, at *time.Time, now time.Time) *Error {
	if at != nil && !at.After(now) {
		return invalid(field, "must be in the future")
	}
	return nil
}

// requiredID reads the id of another resource.
func requiredID[K IDKind](f *Faults, field, text string) ID[K] {
	if text == "" {
		f.Add(field, "is required")
	}
	id, err := ParseID[K](text)
	f.check(field, err)
	return id
}

// word reads one of a few known words.
func word[T ~string](f *Faults, field, text string, known []T) T {
	found, err := oneOf(text, known)
	f.check(field, err)
	return found
}

// words reads a list of different known words, at least one.
func words[T ~string](f *Faults, field string, texts []string, known []T) []T {
	if len(texts) == 0 {
		f.Add(field, "must have at least one element")
	}

	var found []T
	for _, text := range texts {
		one := word(f, field, text, known)
		if slices.Contains(found, one) {
			f.Add(field, "must not name %s twice", text)
		}
		found = append(found, one)
	}
	return found
}

func oneOf[T ~string](text string, known []T) (T, error) {
	if i := slices.Index(known, T(text)); i >= 0 {
		return known[i], nil
	}
	return "", fmt.Errorf("must be one of %s", join(known))
}

// join lists words for people.
func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ", ")
}

// currency reads a currency; it is empty where the text is none.
func (f *Faults) currency(field, text string) money.Currency {
	currency, err := money.ParseCurrency(text)
	f.check(field, err)
	return currency
}

// currencies reads a list of different currencies, at least one.
func (f *Faults) currencies(field string, codes []string) []money.Code {
	if len(codes) == 0 {
		f.Add(field, "must have at least one element, or be left out")
	}

	var currencies []money.Code
	for _, code := range codes {
		c, err := money.ParseCurrency(code)
		f.check(field, err)
		if err == nil && slices.Contains(currencies, c.Code) {
			f.Add(field, "must not name %s twice", c)
		}
		currencies = append(currencies, c.Code)
	}
	return currencies
}

// amount reads a required amount as far as it can: without a currency only its form is
// known to be right.
func (f *Faults) amount(field string, digits money.Digits, c money.Currency) money.Amount {
	if digits == "" {
		f.Add(field, "is required")
		return 0
	}
	if c.Code == "" {
		f.check(field, digits.Check())
		return 0
	}

	amount, err := money.ParseAmount(string(digits), c)
	f.check(field, err)
	return amount
}

// bound reads a number that may be missing (nil).
func (f *Faults) bound(field string, digits *money.Digits) *money.Decimal {
	if digits == nil {
		return nil
	}

	bound, err := money.ParseDecimal(string(*digits))
	if err != nil {
		f.check(field, err)
		return nil
	}
	return &bound
}

// metadata reads an optional JSON object within the bounds of Metadata.
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
