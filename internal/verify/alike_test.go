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

// The same of entries about people, with one that was changed.
func TestBothProgramsTakeEntriesOfPeopleForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	before, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	w.People(example)
	head, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), example.Institution, 1, head.Sequence))
	same := func(text string) string { return text }
	key, signer := newKey()

	// Of the entries that are made, the first sets the provider, the second has somebody join, and the
	// last removes the provider.
	const set, joined, removed = 1, 2, 8
	for _, test := range []struct {
		name     string
		entry    int
		old, new string
		verified bool
	}{
		{"as it is", set, "", "", true},
		{"another issuer", set, "id.example.com", "id.example.org", true},
		{"groups in another order", set, `{"Prüfer <&>":"auditor","clerks":"operator"}`, `{"clerks":"operator","Prüfer <&>":"auditor"}`, false},
		{"no groups", set, `{"Prüfer <&>":"auditor","clerks":"operator"}`, `{}`, false},
		{"groups that are none", set, `{"Prüfer <&>":"auditor","clerks":"operator"}`, `["clerks"]`, false},
		{"a group of holders", set, `"auditor"`, `"holder"`, false},
		{"a group of a number", set, `"auditor"`, `7`, false},
		{"a claim without a name", set, `"realm_access.roles"`, `""`, false},
		{"a claim that is none", set, `{"groups":`, `{"group":`, false},
		{"claims that are none", set, `{"groups":"realm_access.roles"}`, `null`, false},
		{"a secret or not", set, `"hasSecret":true`, `"hasSecret":1`, false},
		{"a number of a secret that is none", set, `"secretNumber":1`, `"secretNumber":1.5`, false},
		{"an empty audience", set, `"audience":"https://api.example.com"`, `"audience":""`, false},
		{"what is set was removed", set, `Z"}}`, `Z","removedAt":"2027-01-01T00:00:00.000000Z"}}`, false},
		{"another subject", set, `"identity-provider"`, `"identity-provider/2"`, false},
		{"a secret of what was removed", removed, `"hasSecret":false`, `"hasSecret":true`, false},
		{"what was removed was not", removed, `"removedAt"`, `"removeAt"`, false},
		{"joined by the operator", joined, `"actor":"usr_`, `"actor":"key_`, false},
		{"a person that is no commitment", joined, `"identitySubject":{"sha256":"`, `"identitySubject":{"sha256":"*`, false},
		{"suspensions that are none", joined, `"suspensions":0`, `"suspensions":"0"`, false},
		{"no time of joining", joined, `"joinedAt":"2`, `"joinedAt":"x`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := append([]store.StoredEntry{}, entries...)
			entry := &changed[before.Sequence+int64(test.entry)-1]
			body := string(entry.Body)
			entry.Body = []byte(strings.Replace(body, test.old, test.new, 1))
			if string(entry.Body) == body && test.old != "" {
				t.Fatalf("nothing is changed in %s", body)
			}
			path := signedBundle(t, key, example.Institution, changed, "escrowgrid.test/"+example.Institution.String(), same, same)
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}
}

// takeAlike checks whether both programs take a bundle for verified.
func takeAlike(t *testing.T, path, key string, verified bool) {
	t.Helper()
	b := must(bundle.Open(t.Context(), path))
	defer func() { _ = b.Close() }()
	report := must(verify.Bundle(t.Context(), b, verify.Config{Keys: []string{key}}))
	if verdict := report.Err(); (verdict == nil) != verified {
		t.Errorf("it is %v, the differences are %v", verdict, report.Differences)
	}
	if output, code := independentlyWith(t, "0", path, key); (code == 0) != verified || strings.Contains(output, "Traceback") {
		t.Errorf("independently, it is %d: %s", code, output)
	}
}

// alike is a bundle that both programs take for verified, or neither.
type alike struct {
	name               string
	body               func(string) string // of the last entry, unless another's is changed
	origin             string
	checkpoint, signed func(string) string
	verified           bool
}

// Two readers must not take one bundle for different things, whoever signed it.
func TestBothProgramsTakeABundleForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	w.Clerk(example)
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
	// between puts another text between two others.
	between := func(before, after, changed string) func(string) string {
		return func(text string) string {
			at := strings.Index(text, before) + len(before)
			return text[:at] + changed + text[at+strings.Index(text[at:], after):]
		}
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
		"a permission twice": 10, "a permission that is none": 10, "permissions in another order": 10, "no permissions": 10,
		"a role of another name": 10, "a restriction of nothing": 11, "an empty list of a restriction": 11, "a bound with a zero at its end": 11,
		"a bound above all amounts": 11, "bounds in another order": 11, "a restriction to no id": 11, "a member of no restriction": 11,
		"networks that are no texts": 12, "no networks": 12, "an owner in clear": 11,
	}
	const ofRole, ofBranch, ofPortal = 10, 11, 12
	allowed, bounds := `["assets.read","positions.create","positions.read"]`, `{"JPY":"7","USD":"900000.5"}`
	var tests []alike
	for _, c := range []struct {
		name         string
		sequence     int
		old, changed string
		verified     bool
	}{
		{"a role without permissions", ofRole, allowed, `[]`, true},
		{"a role with a permission of the operator's", ofRole, allowed, `["institutions.create"]`, true},
		{"a role whose permissions are null", ofRole, allowed, `null`, false},
		{"a role whose permissions are a text", ofRole, allowed, `"assets.read"`, false},
		{"a role without a list of permissions", ofRole, `"permissions":` + allowed + ",", "", false},
		{"permissions in another order", ofRole, allowed, `["positions.create","assets.read","positions.read"]`, false},
		{"a permission twice", ofRole, allowed, `["assets.read","assets.read","positions.create","positions.read"]`, false},
		{"a permission that is not known", ofRole, `"assets.read"`, `"assets.burn"`, false},
		{"permissions with a space", ofRole, `"assets.read",`, `"assets.read", `, false},
		{"a role of another subject", ofRole, `"subject":"role/clerk"`, `"subject":"role/teller"`, false},
		{"a role of another name", ofRole, `"name":"clerk"`, `"name":"teller"`, false},
		{"a role with more", ofRole, `"name":"clerk",`, `"name":"clerk","x":1,`, false},
		{"a role without a version", ofRole, `"version":1`, `"version":"1"`, false},
		{"a role of no time", ofRole, `"createdAt":"2`, `"createdAt":"x`, false},

		{"a key without a role", ofBranch, `"role":"clerk",`, ``, true},
		{"a key of no role", ofBranch, `"role":"clerk",`, `"role":"",`, false},
		{"a key with a role and permissions", ofBranch, `"role":"clerk",`, `"role":"clerk","permissions":["assets.read"],`, true},
		{"an owner of no commitment", ofBranch, `"owner":{"sha256":"`, `"owner":{"sha256":"*`, false},
		{"a restriction to nothing", ofBranch, `"restrict":{`, `"restrict":{},"x":{`, false},
		{"a bound that is the largest", ofBranch, bounds, `{"USD":"1000000000000000"}`, true},
		{"a bound of nothing", ofBranch, bounds, `{"USD":"0"}`, true},
		{"a bound that is too large", ofBranch, bounds, `{"USD":"1000000000000000.0001"}`, false},
		{"a bound with more digits", ofBranch, bounds, `{"USD":"900000.50"}`, false},
		{"a bound with too many digits", ofBranch, bounds, `{"USD":"900000.00001"}`, false},
		{"a bound with a sign", ofBranch, bounds, `{"USD":"-1"}`, false},
		{"a bound that is a number", ofBranch, bounds, `{"USD":7}`, false},
		{"a bound that is null", ofBranch, bounds, `{"USD":null}`, false},
		{"bounds in another order", ofBranch, bounds, `{"USD":"900000.5","JPY":"7"}`, false},
		{"no bounds", ofBranch, bounds, `{}`, false},
		{"bounds that are a list", ofBranch, bounds, `["7"]`, false},
		{"assets that are templates", ofBranch, `"assetIds":["ast_`, `"assetIds":["tmpl_`, false},
		{"assets that are a text", ofBranch, `"assetIds":["` + example.Asset.String() + `"]`, `"assetIds":"` + example.Asset.String() + `"`, false},
		{"no assets", ofBranch, `["` + example.Asset.String() + `"]`, `[]`, false},
		{"an asset twice", ofBranch, `"assetIds":["`, `"assetIds":["` + example.Asset.String() + `","`, true},
		{"templates behind assets", ofBranch, `],"maxAmount"`, `],"templateIds":["` + escrow.TemplateID{15: 1}.String() + `"],"maxAmount"`, false},
		{"templates before assets", ofBranch, `"assetIds"`, `"templateIds":["` + escrow.TemplateID{15: 1}.String() + `"],"assetIds"`, true},
		{"a restriction that is not known", ofBranch, `"assetIds"`, `"months":["7"],"assetIds"`, false},

		{"a key with no permissions", ofPortal, `["assets.read","positions.read"]`, `[]`, false},
		{"a key with permissions in another order", ofPortal, `["assets.read","positions.read"]`, `["positions.read","assets.read"]`, false},
		{"holders of no commitment", ofPortal, `"holderReferences":{"sha256":"`, `"holderReferences":{"sha256":"*`, false},
		{"holders in the open", ofPortal, `"holderReferences":{`, `"holderReferences":["holder-7"],"x":{`, false},
		{"holders within the restriction", ofPortal, `"holderReferences":{`, `"restrict":{"holderReferences":["holder-7"]},"holderReferences":{`, false},
		{"no networks", ofPortal, `["192.0.2.0/24","2001:db8::1/128"]`, `[]`, false},
		{"networks that are null", ofPortal, `["192.0.2.0/24","2001:db8::1/128"]`, `null`, false},
		{"networks that are a text", ofPortal, `["192.0.2.0/24","2001:db8::1/128"]`, `"192.0.2.0/24"`, false},
		{"a network that is a number", ofPortal, `"192.0.2.0/24"`, `7`, false},
		{"a network of another form", ofPortal, `"192.0.2.0/24"`, `"anywhere"`, true},
	} {
		changes[c.name] = c.sequence
		tests = append(tests, alike{c.name, replaced(c.old, c.changed), origin, same, same, c.verified})
	}
	key, signer := newKey()
	const stranger = "\u2014 other.example YWJjZAAAAAA=\n"

	for _, test := range append(tests, []alike{
		{"as it is", same, origin, same, same, true},
		{"with a line end", added("\n"), origin, same, same, false},
		{"a member twice", replaced(`"requestId":`, `"requestId":"x","requestId":`), origin, same, same, false},
		{"no number", replaced(`"event":{`, `"event":{"x":NaN,`), origin, same, same, false},
		{"another version", replaced(`"v":2`, `"v":3`), origin, same, same, false},
		{"half a pair", replaced(`"requestId":"t`, `"requestId":"\ud800t`), origin, same, same, false},
		{"another currency", replaced(`"currency":"USD"`, `"currency":"EUR"`), origin, same, same, false},
		{"an amount with a sign", replaced(`"amount":"`, `"amount":"+`), origin, same, same, false},
		{"a state that is none", replaced(`"toState":"PARTIALLY_RELEASED"`, `"toState":"US"`), origin, same, same, false},
		{"a key of another form of time", replaced(`Z","createdBy"`, `000Z","createdBy"`), origin, same, same, false},
		{"a hash in capitals", upper(`"hash":"`), origin, same, same, false},
		{"a rotation of no time", replaced(`"replacedExpiresAt":"2`, `"replacedExpiresAt":"x`), origin, same, same, false},
		{"a template of no code", replaced(`CONSTR_ESCROW`, `FUNDED`), origin, same, same, false},
		{"a template of no known member", replaced(`"config":{"currency"`, `"config":{"coin"`), origin, same, same, false},
		{"a commitment that is none", replaced(`"label":{"sha256":"`, `"label":{"sha256":"*`), origin, same, same, false},
		{"a permission twice", replaced(`["assets.read",`, `["assets.read","assets.read",`), origin, same, same, false},
		{"a permission that is none", replaced(`"assets.read"`, `"assets.burn"`), origin, same, same, false},
		{"permissions in another order", replaced(`"assets.read","positions.create"`, `"positions.create","assets.read"`), origin, same, same, false},
		{"no permissions", replaced(`["assets.read","positions.create","positions.read"]`, `null`), origin, same, same, false},
		{"a role of another name", replaced(`"name":"clerk"`, `"name":"chief"`), origin, same, same, false},
		{"a restriction of nothing", between(`"restrict":`, `,"hash"`, `{}`), origin, same, same, false},
		{"an empty list of a restriction", between(`"assetIds":`, `,"maxAmount"`, `[]`), origin, same, same, false},
		{"a bound with a zero at its end", replaced(`"900000.5"`, `"900000.50"`), origin, same, same, false},
		{"a bound above all amounts", replaced(`"900000.5"`, `"9000000000000000"`), origin, same, same, false},
		{"bounds in another order", replaced(`"JPY":"7","USD":"900000.5"`, `"USD":"900000.5","JPY":"7"`), origin, same, same, false},
		{"a restriction to no id", replaced(`"assetIds":["ast_`, `"assetIds":["pos_`), origin, same, same, false},
		{"a member of no restriction", replaced(`"maxAmount":`, `"minAmount":`), origin, same, same, false},
		{"networks that are no texts", replaced(`"192.0.2.0/24"`, `7`), origin, same, same, false},
		{"no networks", between(`"allowedNetworks":`, `,"hash"`, `[]`), origin, same, same, false},
		{"an owner in clear", between(`"owner":`, `,"role"`, `"Branch 7"`), origin, same, same, false},
		{"an origin of nobody", same, example.Institution.String(), same, same, false},
		{"two times", same, origin, added("time 2999-01-01T00:00:00.000000Z\n"), same, false},
		{"a line that is not known", same, origin, added("more\n"), same, true},
		{"a root with more", same, origin, replaced("=\n", "*=\n"), same, false},
		{"a stranger's signature", same, origin, same, added(stranger), true},
		{"an end cut off", same, origin, same, func(note string) string { return strings.TrimSuffix(note, "\n") }, false},
	}...) {
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
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}
}
