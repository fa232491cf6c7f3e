package disclosure_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestADisclosureShowsAnEntryAndNothingElse(t *testing.T) {
	t.Parallel()
	j := held(t)
	for name, test := range map[string]struct {
		sequence int
		members  []string
	}{
		"a creation":                   {createdEntry, []string{"holderReference", "externalReference", "metadata"}},
		"a creation without members":   {createdEntry, nil},
		"a funding":                    {fundedEntry, nil},
		"a release":                    {releasedEntry, []string{"reason", "metadata"}},
		"a release without its reason": {releasedEntry, []string{"metadata"}},
		"an erasure":                   {erasedEntry, []string{"reason"}},
		"a hold":                       {heldEntry, []string{"reference"}},
		"a lifting":                    {liftedEntry, nil},
	} {
		d := j.disclose(t, test.sequence, test.members...)
		text := must(d.Text())
		for _, end := range []string{"\n", "", "\r\n"} {
			proven, err := verify(append(bytes.TrimSuffix(text, []byte("\n")), end...))
			if err != nil || proven.Entry.ID != j.entries[test.sequence-1].ID || len(proven.Entry.Openings()) != len(test.members) ||
				proven.Checkpoint != j.checkpoint() || len(proven.Keys) != 1 || proven.Keys[0] != signer.VerifierKey() {
				t.Errorf("%s, with the end %q: %+v, %v", name, end, proven, err)
			}
		}
		for _, other := range j.entries {
			if other.ID != j.entries[test.sequence-1].ID && strings.Contains(string(text), other.ID.String()) {
				t.Errorf("%s: entry %d is in the file", name, other.Sequence)
			}
			if len(other.Private) > 0 && bytes.Contains(text, other.Private[:32]) {
				t.Errorf("%s: the secret of entry %d is in the file", name, other.Sequence)
			}
		}
		if len(test.members) == 0 && strings.Contains(string(text), "ACME") {
			t.Errorf("%s: the holder is in the file", name)
		}
	}
}

// The documentation shows a file, for readers to verify with programs of their own: files that were
// handed out must be readable for ever.
func TestTheDocumentationShowsATrueDisclosure(t *testing.T) {
	page := string(must(os.ReadFile("../../docs/personal-data.md")))
	_, rest, _ := strings.Cut(page, "<!-- begin vector: disclosure -->\n\n```text\n")
	shown, _, found := strings.Cut(rest, "```\n\n<!-- end vector: disclosure -->")
	if want := string(must(newJournal(t).disclose(t, releasedEntry, "reason").Text())); !found || shown != want {
		t.Errorf("the page shows\n%s\nand the program makes\n%s", shown, want)
	}
}

func FuzzParse(f *testing.F) {
	j := newJournal(f)
	for _, sequence := range []int{createdEntry, releasedEntry} {
		f.Add(must(j.disclose(f, sequence, "metadata", "reason").Text()))
	}
	for _, text := range []string{"", "{}", "null", `{"format":"escrowgrid-disclosure","version":1}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := disclosure.Parse(text)
		if err != nil {
			return
		}
		written, err := d.Text()
		if err != nil || string(bytes.TrimRight(written, "\n")) != string(bytes.TrimRight(text, "\r\n")) {
			t.Errorf("%q is written as %q, %v", text, written, err)
		}
		isOurs := func(e escrow.Entry) bool { return bytes.Equal(e.Body, d.Body) }
		if _, err := verify(text); err == nil && !slices.ContainsFunc(j.entries, isOurs) {
			t.Errorf("%q is verified", text)
		}
	})
}
