package escrow_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// textField is a text that clients give; input makes its command with it.
type textField struct {
	name     string
	field    string
	limit    int
	required bool
	input    func(text string) escrow.Faults
}

func textFields() []textField {
	asset, template := escrow.AssetID{1}.String(), escrow.TemplateID{1}.String()
	return []textField{
		{"institution", "name", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.NewCreateInstitution(escrow.InstitutionInput{Name: text, Regions: []string{"US"}})
			return faults
		}},
		{"key", "label", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.NewCreateKey(escrow.KeyInput{Label: text, Role: "admin"}, escrow.SecretHash{})
			return faults
		}},
		{"template", "name", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.NewCreateTemplate(escrow.TemplateInput{
				Code: "CONSTR_ESCROW", Name: text, Vertical: "CONSTRUCTION", Region: "US", Config: []byte(`{"currency":"USD"}`),
			})
			return faults
		}},
		{"asset", "label", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template, Label: text})
			return faults
		}},
		{"position", "holderReference", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.NewCreatePosition(escrow.PositionInput{
				AssetID: asset, HolderReference: text, Currency: "USD", Amount: "1",
			})
			return faults
		}},
		{"position", "externalReference", 255, false, func(text string) escrow.Faults {
			_, faults := escrow.NewCreatePosition(escrow.PositionInput{
				AssetID: asset, HolderReference: "holder-1", Currency: "USD", Amount: "1", ExternalReference: &text,
			})
			return faults
		}},
		{"transition", "reason", 1000, false, func(text string) escrow.Faults {
			_, faults := escrow.NewTransitionPosition(
				escrow.PositionID{}, escrow.TransitionInput{ToState: "FUNDED", Reason: &text}, nil,
			)
			return faults
		}},
		{"erasure of a position", "reason", 1000, false, func(text string) escrow.Faults {
			_, faults := escrow.NewErasePosition(escrow.PositionID{}, &text, nil, 0)
			return faults
		}},
		{"erasure of an approval", "reason", 1000, false, func(text string) escrow.Faults {
			_, faults := escrow.NewEraseApproval(escrow.ApprovalID{}, &text, nil, 0)
			return faults
		}},
		{"erasure of a holder", "holderReference", 255, true, func(text string) escrow.Faults {
			_, faults := escrow.ReadHolderReference(text)
			return faults
		}},
	}
}

func TestTextsAreBoundedInCharactersAndWithoutControls(t *testing.T) {
	t.Parallel()
	for _, field := range textFields() {
		t.Run(field.name+" "+field.field, func(t *testing.T) {
			t.Parallel()
			tooLong := map[int]string{255: "must have at most 255 characters", 1000: "must have at most 1000 characters"}[field.limit]
			empty := "must not be empty: leave it out instead"
			if field.required {
				empty = "is required"
			}
			const control = "must not contain control characters"
			for _, test := range []struct{ name, text, want string }{
				{"one character", "a", ""},
				{"white space within", "Tower  B", ""},
				{"markup and quotes", `<b>"Tower" & 'Sons'</b>`, ""},
				{"every script", "Élan 東京 مبنى 🏗️", ""},
				{"the limit", strings.Repeat("a", field.limit), ""},
				{"the limit in characters of four bytes", strings.Repeat("🏗", field.limit), ""},
				{"the limit with white space round it", "  " + strings.Repeat("a", field.limit) + "\n", ""},
				{"over the limit", strings.Repeat("ä", field.limit+1), tooLong},
				{"nothing", "", empty},
				{"white space alone", " \t\r\n\u00a0\u2003", empty},
				{"a line end within", "Tower\nB", control},
				{"a NUL", "Tower\x00B", control},
				{"an escape", "\x1b[31mTower", control},
				{"a delete", "Tower\x7f", control},
				{"a C1 control", "Tower\u009fB", control},
				{"a byte that is no UTF-8", "Tower \xff", "must be valid UTF-8"},
				{"a letter with an accent of its own", "e\u0301", ""},
				{"Persian with a joiner, and a mark of direction", "\u200fمی\u200cخواهم", ""},
				{"zero-width characters alone", "\u200b\u200d\ufeff", "must have a character that can be seen"},
				{"a mark of direction alone", "\u200f", "must have a character that can be seen"},
				{"an accent alone", "\u0301", "must have a character that can be seen"},
				{"letters whose picture is empty", "\u3164\u2800", "must have a character that can be seen"},
				{"an override of direction", "abc\u202etxt", "must not contain characters that turn the direction of text"},
				{"an isolate", "\u2067abc\u2069", "must not contain characters that turn the direction of text"},
				{"half of a surrogate pair", "Tower \xed\xa0\x80", "must be valid UTF-8"},
			} {
				faults := field.input(test.text)
				if test.want == "" {
					checkFaults(t, faults)
				} else {
					checkFaults(t, faults, field.field+" "+test.want)
				}
			}
		})
	}
}

func TestTextsAreKeptTrimmed(t *testing.T) {
	t.Parallel()
	d := openDeskOf(t, escrow.InstitutionInput{Name: " Meridian  Bank\n", Regions: []string{"US"}})
	if institution, _ := d.books.Institutions.Get(d.books.InstitutionID()); institution.Name != "Meridian  Bank" {
		t.Errorf("the name is kept as %q", institution.Name)
	}
	asset := d.escrow()
	id := subjectID[escrow.PositionID](d.accept(valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "\tholder-1 ", Currency: "usd", Amount: "1", ExternalReference: new(" PO-1 "),
	}))))
	d.accept(valid(escrow.NewTransitionPosition(
		id, escrow.TransitionInput{ToState: "CANCELLED", Reason: new(" too late ")}, nil,
	)))
	position := d.get(id)
	if position.HolderReference != "holder-1" || position.ExternalReference != "PO-1" || d.history(id)[1].Reason != "too late" {
		t.Errorf("the texts are kept as %+v", position)
	}
}

// keepMetadata returns a metadata object as an asset keeps it.
func keepMetadata(t *testing.T, object string) (kept escrow.Metadata, faults escrow.Faults) {
	t.Helper()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	command, faults := escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: template.String(), Label: "An asset", Metadata: escrow.Metadata(object),
	})
	if len(faults) > 0 {
		return nil, faults
	}
	id := subjectID[escrow.AssetID](d.accept(command))
	d.checkReplay()
	asset, _ := d.books.Assets.Get(id)
	return asset.Metadata, nil
}

func TestMetadataIsKeptCompactAndOtherwiseAsGiven(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		``:                        ``,
		`null`:                    ``,
		`{}`:                      `{}`,
		"{ \"a\" :\n[ 1 , 2 ]\t}": `{"a":[1,2]}`,
		`{"z":1,"a":2,"m":3}`:     `{"z":1,"a":2,"m":3}`,
		`{"n":1.50,"big":100000000000000000000000001}`: `{"n":1.50,"big":100000000000000000000000001}`,
		`{"html":"<b>&</b>","escape":"\u003c"}`:        `{"html":"<b>&</b>","escape":"\u003c"}`,
		`{"lines":"a\tb\r\nc"}`:                        `{"lines":"a\tb\r\nc"}`,
		"{\"separator\":\"\u2028\"}":                   "{\"separator\":\"\u2028\"}",
		`{"東京":null,"":false}`:                         `{"東京":null,"":false}`,
	} {
		kept, faults := keepMetadata(t, given)
		if faults != nil || string(kept) != want {
			t.Errorf("%s is kept as %s, %v; want %s", given, kept, faults, want)
		}
	}
}

// nested returns an object that is the given number of levels deep.
func nested(depth int, open, closing string) string {
	return `{"a":` + strings.Repeat(open, depth-1) + strings.Repeat(closing, depth-1) + `}`
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	const (
		noObject = "metadata must be a JSON object"
		control  = "metadata must not contain control characters other than tabs and line ends"
		size     = 65_536
	)
	filled := func(length int) string { return `{"a":"` + strings.Repeat("x", length-len(`{"a":""}`)) + `"}` }
	for _, test := range []struct{ name, object, want string }{
		{"10 deep", nested(10, `[`, `]`), ""},
		{"11 deep in arrays", nested(11, `[`, `]`), "metadata must be at most 10 deep"},
		{"11 deep in objects", strings.Repeat(`{"a":`, 11) + "1" + strings.Repeat("}", 11), "metadata must be at most 10 deep"},
		{"100000 deep", nested(100_000, `[`, `]`), noObject},
		{"wide, not deep", `{"a":[` + strings.Repeat(`[],`, 100) + `[]]}`, ""},
		{"of the largest size", filled(size), ""},
		{"too large", filled(size + 1), "metadata must have at most 65536 bytes"},
		{"too large with white space alone", filled(size-8) + strings.Repeat(" ", 1000), ""},
		{"an array", `[]`, noObject},
		{"a string", `"a"`, noObject},
		{"a number", `1`, noObject},
		{"true", `true`, noObject},
		{"white space", ` `, noObject},
		{"cut off", `{"a":1`, noObject},
		{"with a comma too many", `{"a":1,}`, noObject},
		{"two objects", `{}{}`, noObject},
		{"single quotes", `{'a':1}`, noObject},
		{"not a number", `{"a":NaN}`, noObject},
		{"a NUL in a value", `{"a":"\u0000"}`, control},
		{"an escape in a name", `{"\u001b":1}`, control},
		{"a C1 control, not escaped", "{\"a\":\"\u0085\"}", control},
		{"bytes that are no UTF-8", "{\"a\":\"\xff\"}", "metadata must be valid UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := keepMetadata(t, test.object)
			if test.want == "" {
				checkFaults(t, faults)
			} else {
				checkFaults(t, faults, test.want)
			}
		})
	}
}

func TestMetadataStandsInJSONAsItIs(t *testing.T) {
	t.Parallel()
	type resource struct {
		Metadata escrow.Metadata `json:"metadata"`
	}
	for _, text := range []string{`{"metadata":{"z":1,"a":[1.50]}}`, `{"metadata":null}`} {
		var read resource
		if err := json.Unmarshal([]byte(text), &read); err != nil {
			t.Fatal(err)
		}
		if (read.Metadata == nil) != strings.Contains(text, "null") {
			t.Errorf("%s is read as %q", text, read.Metadata)
		}
		if written := must(json.Marshal(read)); string(written) != text {
			t.Errorf("%s is written again as %s", text, written)
		}
	}
}

func TestMetadataInJSONIsAnObject(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`[]`, `"a"`, `1`, `true`} {
		var read escrow.Metadata
		if err := json.Unmarshal([]byte(text), &read); err == nil || read != nil {
			t.Errorf("%s is read as %q, %v", text, read, err)
		}
	}
	if err := new(escrow.Metadata).UnmarshalJSON(nil); err == nil {
		t.Error("nothing is read as metadata")
	}
}

func FuzzMetadata(f *testing.F) {
	for _, object := range []string{
		`{}`, `null`, ` {"a" : [1, "b", {"c":null}]} `, `{"a":"\u0000"}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":1e999}`,
		nested(10, `[`, `]`), nested(11, `{"a":`, `}`), `{"a":"\u2028<&>"}`, `[]`, `{`, `{"a":1}{"b":2}`,
	} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		kept, faults := keepMetadata(t, object)
		if faults != nil || kept == nil {
			return
		}
		var members map[string]any
		tokens := json.NewDecoder(bytes.NewReader(kept))
		tokens.UseNumber()
		if err := tokens.Decode(&members); err != nil || tokens.More() {
			t.Fatalf("%q was accepted, but is no JSON object: %v", object, err)
		}
		if !utf8.Valid(kept) || len(kept) > escrow.MaxMetadataSize || depth(members) > escrow.MaxMetadataDepth {
			t.Errorf("%q was accepted: it is %d bytes and %d deep", object, len(kept), depth(members))
		}
		if hasControl(members) {
			t.Errorf("%q was accepted with a control character", object)
		}
		if again, faults := keepMetadata(t, string(kept)); !bytes.Equal(again, kept) || faults != nil {
			t.Errorf("%s is kept again as %s, %v", kept, again, faults)
		}
	})
}

func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case map[string]any:
		for _, member := range value {
			deepest = max(deepest, depth(member))
		}
	case []any:
		for _, element := range value {
			deepest = max(deepest, depth(element))
		}
	default:
		return 0
	}
	return deepest + 1
}

func hasControl(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if hasControl(name) || hasControl(member) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, hasControl)
	case string:
		return strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) })
	}
	return false
}

func TestTimesAreReadInAnyOffsetAndWrittenInUTC(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2027-01-31T12:00:00Z":             "2027-01-31T12:00:00.000000Z",
		"2027-01-31T12:00:00.5Z":           "2027-01-31T12:00:00.500000Z",
		"2027-01-31T12:00:00.123456Z":      "2027-01-31T12:00:00.123456Z",
		"2027-01-31T12:00:00.123456999Z":   "2027-01-31T12:00:00.123456Z",
		"2027-01-31T12:00:00+05:30":        "2027-01-31T06:30:00.000000Z",
		"2027-01-31T12:00:00.000001-08:00": "2027-01-31T20:00:00.000001Z",
		"2028-02-29T00:00:00Z":             "2028-02-29T00:00:00.000000Z",
		"1970-01-01T00:00:00Z":             "1970-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999Z":      "9999-12-31T23:59:59.999999Z",
	} {
		at, err := escrow.ParseTime(text)
		if err != nil {
			t.Errorf("ParseTime(%q): %v", text, err)
			continue
		}
		if got := escrow.FormatTime(at); got != want {
			t.Errorf("%s is written %s, want %s", text, got, want)
		}
		// What is kept is no finer than what is written, so both are the same moment.
		if at.Nanosecond()%1000 != 0 || at.Location() != time.UTC {
			t.Errorf("%s is read as %s", text, at)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	t.Parallel()
	const (
		form  = "must be an RFC 3339 time, like 2027-01-31T12:00:00Z"
		years = "must be in the years 1970 to 9999"
	)
	for text, want := range map[string]string{
		"":                          form,
		"2027-01-31":                form,
		"2027-01-31 12:00:00Z":      form,
		"2027-01-31T12:00:00":       form,
		"2027-01-31T12:00Z":         form,
		"2027-01-31T1:00:00Z":       form,
		"2027-01-31T12:00:00,5Z":    form,
		"2027-01-31T12:00:00.Z":     form,
		"2027-01-31T12:00:00+24:00": form,
		"2027-01-31T12:00:00+0100":  form,
		"2027-01-31T24:00:00Z":      form,
		"2027-01-31T12:00:60Z":      form,
		"2027-02-29T12:00:00Z":      form,
		"2027-13-01T12:00:00Z":      form,
		"1801396800":                form,
		"20270131T120000Z":          form,
		" 2027-01-31T12:00:00Z":     form,
		"+2027-01-31T12:00:00Z":     form,
		"10000-01-31T12:00:00Z":     form,
		"1969-12-31T23:59:59Z":      years,
		"1970-01-01T00:00:00+00:01": years,
		"9999-12-31T23:59:59-00:01": years,
		"0000-01-01T00:00:00Z":      years,
	} {
		if at, err := escrow.ParseTime(text); err == nil || err.Error() != want || !at.IsZero() {
			t.Errorf("ParseTime(%q) = %v, %v; want the error %q", text, at, err, want)
		}
	}
}

func TestFormatTimeAndParseTimeAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := drawMoment(t, "at").In(time.FixedZone("", rapid.IntRange(-50_000, 50_000).Draw(t, "offset")))
		if got, err := escrow.ParseTime(escrow.FormatTime(at)); !got.Equal(at) || err != nil {
			t.Errorf("%s is read as %s, %v; want %s", escrow.FormatTime(at), got, err, at)
		}
	})
}

// In what is signed or hashed, a time has one text.
func TestAWrittenTimeIsReadAsItWasWrittenAlone(t *testing.T) {
	t.Parallel()
	const written = "2027-01-31T12:00:00.500000Z"
	if at, err := escrow.ParseWrittenTime(written); err != nil || escrow.FormatTime(at) != written {
		t.Errorf("%s is read as %s, %v", written, at, err)
	}
	const (
		form     = "must be an RFC 3339 time, like 2027-01-31T12:00:00Z"
		decimals = "must have six decimals, in UTC, like 2027-01-31T12:00:00.000000Z"
	)
	for text, want := range map[string]string{
		"":                                 form,
		"2027-01-31":                       form,
		"2027-01-31T12:00:00Z":             decimals,
		"2027-01-31T12:00:00.5Z":           decimals,
		"2027-01-31T12:00:00.5000000Z":     decimals,
		"2027-01-31T12:00:00.500000+00:00": decimals,
		"2027-01-31T13:00:00.500000+01:00": decimals,
	} {
		if _, err := escrow.ParseWrittenTime(text); err == nil || err.Error() != want {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
	}
}
