package jsonwriter_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
)

// word appends itself as a text.
type word string

// AppendText implements encoding.TextAppender.
func (w word) AppendText(text []byte) ([]byte, error) { return append(text, w...), nil }

// part is an object within another.
type part struct {
	Name string `json:"name"`
}

// AppendJSON implements jsonwriter.Value.
func (p part) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Text("name", p.Name)
	return o.End()
}

// whole has a member of every kind.
type whole struct {
	Text         string          `json:"text"`
	OptionalText string          `json:"optionalText,omitempty"`
	Word         string          `json:"word"`
	OptionalWord string          `json:"optionalWord,omitempty"`
	Appender     word            `json:"appender"`
	Number       int64           `json:"number"`
	Raw          json.RawMessage `json:"raw"`
	Null         *string         `json:"null"`
	Part         part            `json:"part"`
	Parts        []part          `json:"parts"`
}

// AppendJSON implements jsonwriter.Value.
func (w whole) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Text("text", w.Text)
	o.OptionalText("optionalText", w.OptionalText)
	o.Word("word", w.Word)
	o.OptionalWord("optionalWord", w.OptionalWord)
	jsonwriter.Appender(&o, "appender", w.Appender)
	o.Number("number", w.Number)
	o.Raw("raw", w.Raw)
	o.Null("null")
	jsonwriter.Member(&o, "part", w.Part)
	jsonwriter.Array(&o, "parts", w.Parts)
	return o.End()
}

// What is written by hand is, to the byte, what encoding/json makes of the same struct.
func TestObjectsAreWrittenAsByEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"", "FUNDED", "1000.00", "pos_01jd8m3q5yf7wbt0x4a2k9r6ce"})
		object := whole{
			Text:         drawText(t),
			OptionalText: drawText(t),
			Word:         words.Draw(t, "word"),
			OptionalWord: words.Draw(t, "optional word"),
			Appender:     word(words.Draw(t, "appender")),
			Number:       rapid.Int64().Draw(t, "number"),
			Raw:          rapid.SampledFrom([]json.RawMessage{[]byte(`{}`), []byte(`[1,"<é>",{"b":null}]`), []byte(`1`)}).Draw(t, "raw"),
			Part:         part{Name: drawText(t)},
			Parts:        make([]part, rapid.IntRange(0, 3).Draw(t, "parts")),
		}
		for i := range object.Parts {
			object.Parts[i].Name = drawText(t)
		}

		got := object.AppendJSON([]byte("before "))

		if want := "before " + byEncodingJSON(t, object); string(got) != want {
			t.Errorf("by hand:\n\t%q\nby encoding/json:\n\t%q", got, want)
		}
	})
}

// Every byte and every character that is escaped somewhere, alone and within a text.
func TestTextsAreEscapedAsByEncodingJSON(t *testing.T) {
	for _, c := range special() {
		for _, text := range []string{c, c + c, "before" + c, c + "after", "é" + c + "日本語 " + c + "𝟙"} {
			if got, want := string(jsonwriter.AppendText(nil, text)), byEncodingJSON(t, text); got != want {
				t.Errorf("%q is written as %s, want %s", text, got, want)
			}
		}
	}
}

func TestAnObjectWithoutMembers(t *testing.T) {
	o := jsonwriter.Begin(nil)
	if got := string(o.End()); got != "{}" {
		t.Errorf("it is %s", got)
	}
}

func special() []string {
	characters := []string{"\u2027", "\u2028", "\u2029", "\u202a", "\ufffd", "\ufeff", "\U0010ffff", "\xe2\x80", "\xed\xa0\x80"}
	for c := range 256 {
		characters = append(characters, string([]byte{byte(c)}))
	}
	return characters
}

// drawText draws a text of which much is escaped.
func drawText(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(special()), rapid.String()), 0, 5)
	return strings.Join(parts.Draw(t, "text"), "")
}

func byEncodingJSON(t interface{ Fatal(args ...any) }, value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

func BenchmarkAppendText(b *testing.B) {
	text := make([]byte, 0, 1024)
	for name, value := range map[string]string{
		"plain":   "A holder's reference, as most are",
		"letters": "Bürgschaft für den Bau des Hafenturms",
		"escaped": "a \"quoted\" text\nof two lines",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				text = jsonwriter.AppendText(text[:0], value)
			}
		})
	}
}
