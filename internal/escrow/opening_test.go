package escrow_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// privateEntry is the entry of a position that has references and metadata.
func privateEntry(t *testing.T) escrow.Entry {
	t.Helper()
	d := openDesk(t)
	d.personal(d.escrow())
	for _, entry := range d.books.Entries {
		if entry.Kind == escrow.KindPositionCreated {
			return entry
		}
	}
	t.Fatal("the journal has no position")
	return escrow.Entry{}
}

// What is opened outside of the database tells what the database has.
func TestOpeningsShowWhatStandsBesideTheBody(t *testing.T) {
	t.Parallel()
	for _, entry := range goldenEntries(t) {
		openings := entry.Openings()
		if names := slices.Sorted(maps.Keys(openings)); !slices.Equal(names, sorted(entry.PrivateMembers())) {
			t.Errorf("openings of %s are of %v", entry.Kind, names)
		}
		opened := must(escrow.ParseOpened(entry.Body, openings))
		if err := opened.CheckPrivate(); err != nil {
			t.Errorf("opened, %s is wrong: %v", entry.Kind, err)
		}
		if want, got := string(must(entry.Details())), string(must(opened.Details())); got != want {
			t.Errorf("opened, %s tells %s, want %s", entry.Kind, got, want)
		}
		if opened.Private != nil || len(opened.Unknown()) > 0 || opened.HasPrivate() != entry.HasPrivate() {
			t.Errorf("opened, %s has %q, and does not know %v", entry.Kind, opened.Private, opened.Unknown())
		}
		if diff := cmp.Diff(openings, opened.Openings(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("openings of %s (-) and those that it was read with (+):\n%s", entry.Kind, diff)
		}
	}
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

func TestOneMemberIsShownWithoutTheOthers(t *testing.T) {
	t.Parallel()
	entry := privateEntry(t)
	all := entry.Openings()
	shown, hidden := all.Only([]string{"externalReference", "reason"}), all.Without([]string{"externalReference", "reason"})
	if got := slices.Collect(maps.Keys(shown)); !slices.Equal(got, []string{"externalReference"}) {
		t.Errorf("shown are %v", got)
	}
	if got := slices.Sorted(maps.Keys(hidden)); !slices.Equal(got, []string{"holderReference", "metadata"}) {
		t.Errorf("the others are %v", got)
	}

	opened := must(escrow.ParseOpened(entry.Body, shown))
	if err := opened.CheckPrivate(); err != nil {
		t.Error(err)
	}
	if got := opened.Unknown(); !slices.Equal(got, []string{"holderReference", "metadata"}) || !opened.HasPrivate() {
		t.Errorf("not known are %v", got)
	}
	details := string(must(opened.Details()))
	if !strings.Contains(details, `"externalReference":"invoice 1"`) || strings.Contains(details, "holderReference") || strings.Contains(details, "555") {
		t.Errorf("the entry tells %s", details)
	}

	none := must(escrow.ParseOpened(entry.Body, nil))
	if len(none.Unknown()) != 3 || none.HasPrivate() || len(none.Openings()) > 0 {
		t.Errorf("without openings %v is not known, and %v is", none.Unknown(), none.Openings())
	}
	if text := must(all.Only(nil).Text()); string(text) != "{}" {
		t.Errorf("no openings are written as %s", text)
	}
}

func TestAnotherValueThanTheCommittedOneIsFound(t *testing.T) {
	t.Parallel()
	entry := privateEntry(t)
	for name, change := range map[string]func(*escrow.Opening){
		"another value": func(o *escrow.Opening) { o.Value += " " },
		"another salt":  func(o *escrow.Opening) { o.Salt[31]++ },
	} {
		for _, member := range entry.PrivateMembers() {
			openings := maps.Clone(entry.Openings())
			opening := openings[member]
			change(&opening)
			openings[member] = opening
			want := "its " + member + " is not the one that it has a commitment to"
			if err := must(escrow.ParseOpened(entry.Body, openings)).CheckPrivate(); err == nil || err.Error() != want {
				t.Errorf("%s: the error is %v, want %q", name, err, want)
			}
		}
	}
}

func TestOpeningsOfMembersThatAreNotThereAreRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	first := openingEntry(d)
	d.position(d.escrow(), "10", "USD")
	position := d.lastEntry()
	one := position.Openings()["holderReference"]
	for name, test := range map[string]struct {
		entry    escrow.Entry
		openings escrow.Openings
	}{
		"a member that the position has not": {position, escrow.Openings{"externalReference": one}},
		"a member of another kind":           {position, escrow.Openings{"holderReference": one, "label": one}},
		"a member in clear":                  {position, escrow.Openings{"amount": one}},
		"an entry without private members":   {first, escrow.Openings{"name": one}},
		"a value that is empty":              {position, escrow.Openings{"holderReference": {Salt: one.Salt}}},
	} {
		entry, err := escrow.ParseOpened(test.entry.Body, test.openings)
		if err == nil || !strings.Contains(err.Error(), "not a secret and the values of its private members") {
			t.Errorf("%s: it is read as %+v, %v", name, entry, err)
		}
	}
	if entry, err := escrow.ParseOpened(position.Body[1:], nil); err == nil {
		t.Errorf("a broken body is read as %+v", entry)
	}
}

// openingEntry is the first entry of a desk's journal, which opens it, read from the operator's books.
func openingEntry(d *desk) escrow.Entry { return d.books.Entries[0] }

// One text says one thing, to every reader.
func TestOpeningsAreWrittenInOneWay(t *testing.T) {
	t.Parallel()
	salt := strings.Repeat("A", 43)
	written := `{"metadata":{"salt":"` + salt + `","value":"{\"a\":\"<é>\"}"},"reason":{"salt":"` + salt + `","value":"Ada"}}`
	openings, err := escrow.ParseOpenings([]byte(written))
	want := escrow.Openings{"metadata": {Value: `{"a":"<é>"}`}, "reason": {Value: "Ada"}}
	if diff := cmp.Diff(want, openings); diff != "" || err != nil {
		t.Fatalf("%s is read otherwise (-) than it should be (+): %v\n%s", written, err, diff)
	}

	one := func(opening string) string { return `{"reason":` + opening + `}` }
	for name, text := range map[string]string{
		"nothing":              ``,
		"null":                 `null`,
		"no opening":           `{}`,
		"an array":             `[]`,
		"cut off":              written[:len(written)-1],
		"white space":          strings.Replace(written, ":", ": ", 1),
		"a line end":           written + "\n",
		"another order":        `{"reason":{"salt":"` + salt + `","value":"b"},"metadata":{"salt":"` + salt + `","value":"a"}}`,
		"a member twice":       `{"reason":{"salt":"` + salt + `","value":"b"},"reason":{"salt":"` + salt + `","value":"a"}}`,
		"an escaped character": strings.Replace(written, "Ada", `\u0041da`, 1),
		"bytes without UTF-8":  strings.Replace(written, "Ada", "Ad\xff", 1),
		"no value":             one(`{"salt":"` + salt + `"}`),
		"a value that is none": one(`{"salt":"` + salt + `","value":{}}`),
		"one member more":      one(`{"salt":"` + salt + `","value":"a","note":""}`),
		"the value first":      one(`{"value":"a","salt":"` + salt + `"}`),
		"a name in capitals":   one(`{"Salt":"` + salt + `","value":"a"}`),
		"an opening of null":   one(`null`),
		"no salt":              one(`{"value":"a"}`),
		"a salt of 31 bytes":   one(`{"salt":"` + salt[:42] + `","value":"a"}`),
		"a salt of 33 bytes":   one(`{"salt":"` + salt + `A","value":"a"}`),
		"a salt with padding":  one(`{"salt":"` + salt + `=","value":"a"}`),
		"a salt in base64":     one(`{"salt":"` + salt[:42] + `/","value":"a"}`),
		"a salt with bits to spare": one(
			`{"salt":"` + salt[:42] + `B","value":"a"}`),
	} {
		if openings, err := escrow.ParseOpenings([]byte(text)); err == nil {
			t.Errorf("%s: %s is read as %v", name, text, openings)
		}
	}
}

// Also where nobody compares an opening with what would be written, nothing of a salt is left out.
func TestASaltHas32Bytes(t *testing.T) {
	t.Parallel()
	for length := range 65 {
		text := fmt.Sprintf(`{"salt":%q,"value":"a"}`, base64.RawURLEncoding.EncodeToString(make([]byte, length)))
		var opening escrow.Opening
		if err := json.Unmarshal([]byte(text), &opening); (err == nil) != (length == 32) {
			t.Errorf("a salt of %d bytes is read as %v, %v", length, opening, err)
		}
	}
}

func TestOpeningsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	opening := rapid.Custom(func(t *rapid.T) escrow.Opening {
		return escrow.Opening{
			Salt:  [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "salt")),
			Value: rapid.String().Draw(t, "value"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		openings := escrow.Openings(rapid.MapOfN(rapid.String(), opening, 1, 4).Draw(t, "openings"))
		text := must(openings.Text())
		if got, err := escrow.ParseOpenings(text); err != nil || !maps.Equal(got, openings) {
			t.Errorf("%s is read as %v, %v", text, got, err)
		}
		members := rapid.SliceOf(rapid.SampledFrom(sorted(slices.Collect(maps.Keys(openings))))).Draw(t, "members")
		both := openings.Only(members)
		maps.Copy(both, openings.Without(members))
		if !maps.Equal(both, openings) || len(openings.Only(members))+len(openings.Without(members)) != len(openings) {
			t.Errorf("those of %v and the others are %v", members, both)
		}
	})
}

func FuzzParseOpenings(f *testing.F) {
	for _, value := range []string{"Ada", `{"a":1}`, "\u2028<&>\x00", ""} {
		salt := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
		f.Add(must(json.Marshal(map[string]any{"reason": map[string]string{"salt": salt, "value": value}})))
	}
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		openings, err := escrow.ParseOpenings(text)
		if err != nil {
			return
		}
		if written := must(openings.Text()); string(written) != string(text) {
			t.Errorf("%q is read as %v, which is written %q", text, openings, written)
		}
	})
}
