package escrow_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// What docs/personal-data.md lists.
func TestPrivateIsWhatAClientWritesFreely(t *testing.T) {
	t.Parallel()
	all := []string{"comment", "displayName", "email", "externalReference", "holderReference", "holderReferences", "identitySubject", "label", "metadata", "owner", "reason", "reference"}
	if diff := cmp.Diff(all, escrow.PrivateMembers()); diff != "" {
		t.Errorf("private members wanted (-) and given (+):\n%s", diff)
	}
	ofPositions := []string{"externalReference", "holderReference", "metadata", "reason", "reference"}
	if diff := cmp.Diff(ofPositions, escrow.PrivateMembersOfPositions()); diff != "" {
		t.Errorf("private members of positions wanted (-) and given (+):\n%s", diff)
	}
}

// The format, computed once more with nothing of the domain's code. Whoever has a body and an
// opening computes it so.
func TestCommitmentsAreThoseOfTheDocumentedFormat(t *testing.T) {
	t.Parallel()
	for _, entry := range goldenEntries(t) {
		var body struct{ Event map[string]any }
		if err := json.Unmarshal(entry.Body, &body); err != nil {
			t.Fatal(err)
		}
		openings := entry.Openings()
		for member, opening := range openings {
			mac := hmac.New(sha256.New, entry.Private[:32])
			mac.Write([]byte(member))
			salt := mac.Sum(nil)
			if !bytes.Equal(salt, opening.Salt[:]) {
				t.Errorf("%s: the salt of its %s is %x, want %x", entry.Kind, member, opening.Salt, salt)
			}
			hash := sha256.Sum256(slices.Concat([]byte{2}, salt, []byte(opening.Value)))
			want := map[string]any{"sha256": base64.RawURLEncoding.EncodeToString(hash[:])}
			object, name := objectOf(body.Event, member)
			if diff := cmp.Diff(any(want), object[name]); diff != "" {
				t.Errorf("%s: the commitment to its %s, wanted (-) and written (+):\n%s", entry.Kind, member, diff)
			}
		}
		if want := storedAs(entry.Private, entry); !bytes.Equal(entry.Private, want) {
			t.Errorf("%s: %x is stored beside it, want %x", entry.Kind, entry.Private, want)
		}
	}
}

// storedAs makes what is stored beside an entry's body once more, of its secret and its values; nil
// where it has none.
func storedAs(secret []byte, entry escrow.Entry) (stored []byte) {
	openings := entry.Openings()
	for i, member := range entry.PrivateMembers() {
		if i == 0 {
			stored = append(stored, secret[:32]...)
		}
		stored = binary.AppendUvarint(stored, uint64(len(openings[member].Value)))
		stored = append(stored, openings[member].Value...)
	}
	return stored
}

// Who is meant cannot be seen from two entries being alike, nor from two members.
func TestNoTwoCommitmentsToAValueAreAlike(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	same := referenced(asset, "Ada Lovelace")
	same.HolderReference = "Ada Lovelace"
	d.accept(valid(escrow.NewCreatePosition(same)))
	d.accept(creations(same, same).batch(true))

	seen := make(map[string]bool)
	for _, entry := range d.books.Entries {
		if entry.Kind != escrow.KindPositionCreated {
			continue
		}
		var body struct {
			Event struct{ HolderReference, ExternalReference struct{ SHA256 string } }
		}
		if err := json.Unmarshal(entry.Body, &body); err != nil {
			t.Fatal(err)
		}
		seen[body.Event.HolderReference.SHA256], seen[body.Event.ExternalReference.SHA256] = true, true
		if bytes.Contains(entry.Body, []byte("Ada")) {
			t.Errorf("the value is in the body %s", entry.Body)
		}
	}
	if len(seen) != 6 {
		t.Errorf("6 members of 3 entries have %d commitments", len(seen))
	}
}

func TestABodyHasCommitmentsOfOneForm(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.position(d.escrow(), "10", "USD")
	body := string(d.lastEntry().Body)
	before, rest, _ := strings.Cut(body, `"holderReference":`)
	commitment, after, _ := strings.Cut(rest, `,"currency"`)
	hash := strings.Split(commitment, `"`)[3]
	forged := func(commitment string) []byte {
		return []byte(before + `"holderReference":` + commitment + `,"currency"` + after)
	}
	if string(forged(commitment)) != body {
		t.Fatalf("%s is not found in %s", commitment, body)
	}

	for name, commitment := range map[string]string{
		"a value":             `"Ada"`,
		"null":                `null`,
		"no hash":             `{}`,
		"a hash that is none": `{"sha256":1}`,
		"31 bytes":            `{"sha256":"` + strings.Repeat("A", 42) + `"}`,
		"33 bytes":            `{"sha256":"` + strings.Repeat("A", 44) + `"}`,
		"hexadecimal digits":  `{"sha256":"` + strings.Repeat("0", 64) + `"}`,
		"padding":             `{"sha256":"` + hash + `="}`,
	} {
		if entry, err := escrow.ParseEntry(forged(commitment), nil); err == nil {
			t.Errorf("%s: %s is read as %+v", name, commitment, entry)
		}
	}
	// These are read, and found to be written otherwise than an entry is.
	for name, commitment := range map[string]string{
		"one member more": `{"sha256":"` + hash + `","note":""}`,
		"white space":     `{"sha256": "` + hash + `"}`,
		"bits to spare":   `{"sha256":"` + strings.Repeat("A", 42) + `B"}`,
		"another name":    `{"SHA256":"` + hash + `"}`,
	} {
		if err := must(escrow.ParseEntry(forged(commitment), nil)).Check(); err == nil || !strings.Contains(err.Error(), "is not written as") {
			t.Errorf("%s: the error of %s is %v", name, commitment, err)
		}
	}
}

func TestWhatStandsBesideABodyIsReadAsItWasWrittenAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	position := d.position(d.escrow(), "10", "USD")
	first, entry := openingEntry(d), d.lastEntry()
	d.accept(transition(position, escrow.StateFunded, ""))
	step := d.lastEntry() // It could have a reason, and has none.
	secret := entry.Private[:32]
	for name, test := range map[string]struct {
		entry  escrow.Entry
		stored []byte
	}{
		"nothing, that is not NULL":      {entry, []byte{}},
		"half a secret":                  {entry, secret[:16]},
		"a secret alone":                 {entry, secret},
		"a value that is cut off":        {entry, entry.Private[:len(entry.Private)-1]},
		"an empty value":                 {entry, append(slices.Clone(secret), 0)},
		"one byte more":                  {entry, append(slices.Clone(entry.Private), 'x')},
		"a value more":                   {entry, append(slices.Clone(entry.Private), 1, 'x')},
		"a length without an end":        {entry, append(slices.Clone(secret), 0x80)},
		"a length of more than 64 bits":  {entry, append(slices.Clone(secret), bytes.Repeat([]byte{0xff}, 11)...)},
		"a length of all bits":           {entry, binary.AppendUvarint(slices.Clone(secret), 1<<64-1)},
		"a length in more than it needs": {entry, append(append(slices.Clone(secret), 0x81, 0x00), 'x')},
		"a secret of nothing":            {step, secret},
		"a value beside one without any": {first, append(slices.Clone(secret), 1, 'x')},
	} {
		read, err := escrow.ParseEntry(test.entry.Body, test.stored)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("entry %d: what stands beside it is not a secret", test.entry.Sequence)) {
			t.Errorf("%s: it is read as %+v, %v", name, read, err)
		}
	}
}

// A value that fits, but is another, is read, for whoever looks at a journal to find it.
func TestAnotherValueBesideTheBodyIsFound(t *testing.T) {
	t.Parallel()
	entry := privateEntry(t)
	if err := entry.CheckPrivate(); err != nil {
		t.Error(err)
	}
	for i := range entry.Private {
		forged := bytes.Clone(entry.Private)
		forged[i] ^= 1
		read, err := escrow.ParseEntry(entry.Body, forged)
		if err == nil {
			err = read.CheckPrivate()
		}
		if err == nil {
			t.Errorf("nobody finds that byte %d of %x is another", i, entry.Private)
		}
	}
}

func TestAnEntryTellsWhichOfItsValuesAreKnown(t *testing.T) {
	t.Parallel()
	entry := privateEntry(t)
	members := []string{"holderReference", "externalReference", "metadata"}
	if got := entry.PrivateMembers(); !slices.Equal(got, members) || len(entry.Unknown()) > 0 || !entry.HasPrivate() {
		t.Errorf("the private members are %v, of which %v are not known", got, entry.Unknown())
	}

	erased := must(escrow.ParseEntry(entry.Body, nil))
	if !slices.Equal(erased.PrivateMembers(), members) || !slices.Equal(erased.Unknown(), members) || erased.HasPrivate() {
		t.Errorf("erased, the private members are %v, of which %v are not known", erased.PrivateMembers(), erased.Unknown())
	}
	if err := erased.CheckPrivate(); err != nil {
		t.Errorf("what was erased is wrong: %v", err)
	}
	if details := must(erased.Details()); bytes.Contains(details, []byte("sha256")) || bytes.Contains(details, []byte("holderReference")) {
		t.Errorf("an erased entry tells %s", details)
	}

	d := openDesk(t)
	if first := openingEntry(d); first.PrivateMembers() != nil || first.Unknown() != nil || first.HasPrivate() {
		t.Errorf("an institution has %v private", first.PrivateMembers())
	}
}

// Whatever stands beside a body, it is refused, or it is what was written there with the values that
// are read.
func FuzzPrivate(f *testing.F) {
	entries := goldenEntries(f)
	for i, entry := range entries {
		if entry.Private != nil {
			f.Add(i, entry.Private)
			f.Add(i, entry.Private[:len(entry.Private)-1])
		}
	}
	f.Add(0, []byte{})
	f.Add(len(entries)-1, append(make([]byte, 32), 0x81, 0x80, 0x00, 'x'))
	f.Fuzz(func(t *testing.T, place int, stored []byte) {
		body := entries[uint(place)%uint(len(entries))].Body
		entry, err := escrow.ParseEntry(body, stored)
		if err != nil || stored == nil {
			return
		}
		if want := storedAs(stored, entry); !bytes.Equal(stored, want) {
			t.Errorf("%x is read, though %x would be written", stored, want)
		}
		_ = entry.CheckPrivate()
		_, _ = entry.Details()
	})
}
