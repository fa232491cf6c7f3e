package verify_test

import (
	"cmp"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// signedBundle writes a bundle with one checkpoint of all entries, whatever they are: whoever
// has the key of the log can sign anything.
func signedBundle(
	t *testing.T, key string, of escrow.InstitutionID, entries []store.StoredEntry, origin string, change, more func(string) string,
) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "signed.bundle")
	at := time.Now().UTC().Truncate(time.Microsecond)
	w := must(bundle.Create(t.Context(), path, of, at, nil))
	defer func() { _ = w.Close() }()
	var tree translog.Roots
	for _, entry := range entries {
		tree.Add(translog.LeafHash(entry.Body))
		if err := w.AddEntry(t.Context(), entry); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := translog.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root(), At: at}
	signed := must(note.Sign(&note.Note{Text: change(checkpoint.Text())}, must(note.NewSigner(key))))
	if err := w.AddCheckpoint(t.Context(), tree.Size(), at, []byte(more(string(signed)))); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Two readers must not take one bundle for different things, whoever signed it.
func TestBothProgramsTakeABundleForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	w.Positions(example, 1)
	head, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), example.Institution, 1, head.Sequence))
	same := func(text string) string { return text }
	origin := "escrowgrid.test/" + example.Institution.String()
	replaced := func(old, changed string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, changed, 1) }
	}
	added := func(end string) func(string) string { return func(text string) string { return text + end } }
	// upper writes what follows a text in capitals.
	upper := func(before string) func(string) string {
		return func(text string) string {
			at := strings.Index(text, before) + len(before)
			return text[:at] + strings.ToUpper(text[at:at+64]) + text[at+64:]
		}
	}
	// The entries that are changed, by sequence, where not the last is.
	changes := map[string]int{
		"a key of another form of time": 2, "a hash in capitals": 2, "a rotation of no time": 4,
		"a template of no code": 8, "a template of no known member": 8, "a commitment that is none": 9,
	}
	key, signer := newKey()
	const stranger = "\u2014 other.example YWJjZAAAAAA=\n"

	for _, test := range []struct {
		name               string
		body               func(string) string // of the last entry, unless it is in changes
		origin             string
		checkpoint, signed func(string) string
		verified           bool
	}{
		{"as it is", same, origin, same, same, true},
		{"with a line end", added("\n"), origin, same, same, false},
		{"a member twice", replaced(`"requestId":`, `"requestId":"x","requestId":`), origin, same, same, false},
		{"no number", replaced(`"event":{`, `"event":{"x":NaN,`), origin, same, same, false},
		{"another version", replaced(`"v":2`, `"v":3`), origin, same, same, false},
		{"half a pair", replaced(`"requestId":"t`, `"requestId":"\ud800t`), origin, same, same, false},
		{"another currency", replaced(`"currency":"USD"`, `"currency":"EUR"`), origin, same, same, false},
		{"an amount with a sign", replaced(`"amount":"`, `"amount":"+`), origin, same, same, false},
		{"a state that is none", replaced(`"toState":"PARTIALLY_RELEASED"`, `"toState":"US"`), origin, same, same, false},
		{"a key of another form of time", replaced(`Z","version"`, `000Z","version"`), origin, same, same, false},
		{"a hash in capitals", upper(`"hash":"`), origin, same, same, false},
		{"a rotation of no time", replaced(`"replacedExpiresAt":"2`, `"replacedExpiresAt":"x`), origin, same, same, false},
		{"a template of no code", replaced(`CONSTR_ESCROW`, `FUNDED`), origin, same, same, false},
		{"a template of no known member", replaced(`"config":{"currency"`, `"config":{"coin"`), origin, same, same, false},
		{"a commitment that is none", replaced(`"label":{"sha256":"`, `"label":{"sha256":"*`), origin, same, same, false},
		{"an origin of nobody", same, example.Institution.String(), same, same, false},
		{"two times", same, origin, added("time 2999-01-01T00:00:00.000000Z\n"), same, false},
		{"a line that is not known", same, origin, added("more\n"), same, true},
		{"a root with more", same, origin, replaced("=\n", "*=\n"), same, false},
		{"a stranger's signature", same, origin, same, added(stranger), true},
		{"an end cut off", same, origin, same, func(note string) string { return strings.TrimSuffix(note, "\n") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := append([]store.StoredEntry{}, entries...)
			entry := &changed[cmp.Or(changes[test.name], len(changed))-1]
			body := string(entry.Body)
			entry.Body = []byte(test.body(body))
			if _, is := changes[test.name]; is && string(entry.Body) == body {
				t.Fatalf("nothing is changed in %s", body)
			}
			path := signedBundle(t, key, example.Institution, changed, test.origin, test.checkpoint, test.signed)
			b := must(bundle.Open(t.Context(), path))
			defer func() { _ = b.Close() }()
			report := must(verify.Bundle(t.Context(), b, verify.Config{Keys: []string{signer.VerifierKey()}}))
			if verdict := report.Err(); (verdict == nil) != test.verified {
				t.Errorf("it is %v, the differences are %v", verdict, report.Differences)
			}
			if output, code := independentlyWith(t, "0", path, signer.VerifierKey()); (code == 0) != test.verified || strings.Contains(output, "Traceback") {
				t.Errorf("independently, it is %d: %s", code, output)
			}
		})
	}
}
