package escrow_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Entries of keys that were stored before keys had permissions of their own, with what stands beside them.
const (
	oldAdmin = `{"v":2,"institutionId":"inst_01mg052tm0e00a9cmammavbryw","sequence":2,"id":"entry_01mg052tm0e029a3my9agx9qcc",` +
		`"at":"2027-03-01T09:00:00.000001Z","actor":"root","requestId":"req-1","kind":"API_KEY_CREATED","subject":"key_01mg052tm0e02av62bqe3rcxw3",` +
		`"event":{"id":"key_01mg052tm0e02av62bqe3rcxw3","label":{"sha256":"DPQrj4c7sPhRVux4AjvL7DWCT20oApuoMj0D9vSk3A4"},"role":"admin",` +
		`"hash":"e78154c4b83b1dba2c43191426acd53cb2b892f2aacbbbd9003394f49aaca743","createdAt":"2027-03-01T09:00:00.000001Z","version":1}}`
	oldAdminPrivate = "e25bf16201864a2e5da9ab3cb450cd9c10b9138f54044a184b3742dcf22722b10541206b6579"
	oldReader       = `{"v":2,"institutionId":"inst_01mg052tm0e00a9cmammavbryw","sequence":3,"id":"entry_01mg052vk9e009w3zeczzynk5n",` +
		`"at":"2027-03-01T09:00:01.001000Z","actor":"root","requestId":"req-1","kind":"API_KEY_CREATED","subject":"key_01mg052vk9e009xmg4pyeb9rrb",` +
		`"event":{"id":"key_01mg052vk9e009xmg4pyeb9rrb","label":{"sha256":"FWSGNVVtiYIGSvZuAGWEijaDeldmc4QMjNj8M1JtW4A"},"role":"read_only",` +
		`"hash":"a2c7a3b86786edd56254c1122b28743f8b77cb916b17889177a99e68275d1eb7","createdAt":"2027-03-01T09:00:01.001000Z",` +
		`"expiresAt":"2027-03-31T09:00:00.000000Z","version":1}}`
	oldReaderPrivate = "576db327a6fa3d594ad973a7fbf0ef9ecc1881b7581988bf6b86f9c8dc3cea480541206b6579"
)

// Old keys are read as they were, and may what they might; Check writes the body once more and compares.
func TestEntriesOfOldKeysStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		body, private string
		role          escrow.RoleName
		may           []escrow.Permission
	}{
		{oldAdmin, oldAdminPrivate, "admin", escrow.TenantPermissions()},
		{oldReader, oldReaderPrivate, "read_only", []escrow.Permission{
			"institutions.read", "policies.read", "templates.read", "assets.read", "positions.read", "holds.read", "reports.read", "proofs.read",
			"approvals.read",
		}},
	} {
		entry := must(escrow.ParseEntry([]byte(test.body), must(hex.DecodeString(test.private))))
		if err := entry.Check(); err != nil {
			t.Error(err)
		}
		if err := entry.CheckPrivate(); err != nil {
			t.Error(err)
		}
		key := must(escrow.ResourceOf([]escrow.Entry{entry})).(escrow.APIKey)
		want := escrow.APIKey{
			ID: key.ID, InstitutionID: entry.InstitutionID, Label: "A key", Role: test.role, Hash: key.Hash, CreatedAt: entry.At, Version: 1,
		}
		if diff := cmp.Diff(want, key, exactly(), cmpopts.IgnoreFields(escrow.APIKey{}, "ExpiresAt")); diff != "" {
			t.Errorf("key wanted (-) and read (+):\n%s", diff)
		}
		rights := escrow.RightsOfKey(key, func(escrow.RoleName) (r escrow.Role, known bool) { return r, false })
		if diff := cmp.Diff(test.may, rights.Permissions.List()); diff != "" || !rights.Restriction.IsZero() {
			t.Errorf("an old %s may, wanted (-) and given (+), within %+v:\n%s", test.role, rights.Restriction, diff)
		}
	}
}

// everything is a key that has all that a key can have.
func everything(s *scene) escrow.KeyInput {
	return escrow.KeyInput{
		Label: "clerk", Owner: new("Ana"), Role: "clerk", AllowedNetworks: &[]string{"192.0.2.1", "2001:db8::/32"},
		ExpiresAt: new(escrow.FormatTime(opening().Add(9 * time.Hour))),
		Restrict: &escrow.RestrictionInput{
			TemplateIDs: texts([]escrow.TemplateID{s.one, s.two}), AssetIDs: texts([]escrow.AssetID{s.a}), HolderReferences: &[]string{`"h" <1>`, "é"},
			MaxAmount: map[string]money.Digits{"usd": "50000.50", "JPY": "1"},
		},
	}
}

// A rotation and a new label leave everything else, and each entry by itself tells the whole key.
func TestAKeyKeepsWhatItMayThroughItsLife(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.accept(setRole("clerk", "positions.read"))
	hash := escrow.HashSecret("secret")
	made := s.accept(valid(escrow.NewCreateKey(everything(s), hash)))
	id := subjectID[escrow.KeyID](made)
	want := escrow.APIKey{
		ID: id, InstitutionID: s.books.InstitutionID(), Label: "clerk", Owner: "Ana", Role: "clerk",
		AllowedNetworks: []escrow.Network{"192.0.2.1/32", "2001:db8::/32"}, Hash: hash, CreatedAt: s.lastEntry().At,
		ExpiresAt: new(opening().Add(9 * time.Hour)), Version: 1, CreatedBy: escrow.ActorRoot(),
		Restriction: escrow.Restriction{
			TemplateIDs: []escrow.TemplateID{s.one, s.two}, AssetIDs: []escrow.AssetID{s.a}, HolderReferences: []string{`"h" <1>`, "é"},
			MaxAmount: map[money.Code]money.Decimal{"USD": must(money.ParseDecimal("50000.5")), "JPY": money.WholeDecimal(1)},
		},
	}
	compare := func(id escrow.KeyID) {
		t.Helper()
		told := must(escrow.ResourceOf([]escrow.Entry{s.lastEntry()}))
		for name, got := range map[string]escrow.Resource{"the books": s.getKey(id), "the entry": told} {
			if diff := cmp.Diff(escrow.Resource(want), got, exactly()); diff != "" {
				t.Errorf("key wanted (-) and that of %s (+):\n%s", name, diff)
			}
		}
		for _, private := range []string{"Ana", "clerk\"", "é", "h\\"} {
			if body := string(s.lastEntry().Body); strings.Contains(strings.ReplaceAll(body, `"role":"clerk"`, ""), private) {
				t.Errorf("%q stands in %s", private, body)
			}
		}
	}
	compare(id)
	s.accept(valid(escrow.NewUpdateKey(id, new("Another clerk"), nil)))
	want.Label, want.Version = "Another clerk", 2
	compare(id)

	fresh := subjectID[escrow.KeyID](s.accept(newRotation(id, 0)))
	want.ID, want.Hash, want.CreatedAt, want.Version = fresh, escrow.HashSecret("the new secret"), s.lastEntry().At, 1
	want.Origin = id
	compare(fresh)
	s.accept(escrow.RevokeKey{Key: fresh})
	want.RevokedAt, want.Version = new(s.lastEntry().At), 2
	compare(fresh)

	list := subjectID[escrow.KeyID](s.accept(newKey(escrow.KeyInput{Permissions: new(names("positions.read", "assets.read"))})))
	rotated := s.getKey(subjectID[escrow.KeyID](s.accept(newRotation(list, 0))))
	if rotated.Role != "" || rotated.Permissions != setOf("assets.read", "positions.read") || !rotated.Restriction.IsZero() {
		t.Errorf("the rotated key is %+v", rotated)
	}
	s.checkReplay()
}

// What is left out of a copy must not widen what a key may.
func TestAKeyWhoseHoldersAreNotKnownIsForNone(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.keyOf(escrow.KeyInput{Restrict: toHolders("h")})
	entry := must(escrow.ParseEntry(s.lastEntry().Body, nil))
	if err := entry.Check(); err != nil {
		t.Error(err)
	}
	within := must(escrow.ResourceOf([]escrow.Entry{entry})).(escrow.APIKey).Restriction
	if !within.IsNarrow() || within.SeesHolder("h") || within.SeesHolder("") || within.SeesPosition(escrow.Position{}, escrow.TemplateID{}) {
		t.Errorf("a key whose holders are not known is restricted to %+v", within)
	}
}

func TestEntriesOfKeysThatCannotBeAreErrors(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.accept(setRole("clerk", "positions.read"))
	s.accept(valid(escrow.NewCreateKey(everything(s), escrow.SecretHash{})))
	whole := s.lastEntry()
	s.accept(newKey(escrow.KeyInput{Permissions: new(names("assets.read", "positions.read"))}))
	list := s.lastEntry()
	const restrict = `"restrict":{"templateIds":[`
	_, rest, _ := strings.Cut(string(whole.Body), restrict)
	rest, _, _ = strings.Cut(rest, "}},")
	restriction := restrict + rest + "}}" // with its amounts
	for name, test := range map[string]struct {
		entry    escrow.Entry
		old, new string
	}{
		"an empty restriction":           {whole, restriction, `"restrict":{}`},
		"a template that is an asset":    {whole, restrict + `"tmpl_`, restrict + `"ast_`},
		"a bound in another form":        {whole, `"USD":"50000.5"`, `"USD":"50000.50"`},
		"a bound that is a number":       {whole, `"USD":"50000.5"`, `"USD":50000.5`},
		"permissions in another order":   {list, `"assets.read","positions.read"`, `"positions.read","assets.read"`},
		"a permission that is not known": {list, `"assets.read"`, `"assets.destroy"`},
		"null permissions":               {list, `["assets.read","positions.read"]`, `null`},
		"no permissions, written":        {list, `["assets.read","positions.read"]`, `[]`},
		"a network that is none":         {whole, `"192.0.2.1/32"`, `7`},
	} {
		changed := strings.Replace(string(test.entry.Body), test.old, test.new, 1)
		if changed == string(test.entry.Body) {
			t.Fatalf("%s: %s does not occur in %s", name, test.old, changed)
		}
		entry, err := escrow.ParseEntry([]byte(changed), test.entry.Private)
		if err == nil {
			err = entry.Check()
		}
		if err == nil {
			t.Errorf("%s: %s is no error", name, changed)
		}
	}
}

// Values that no commitment was ever made to: were one accepted, the key would be for all holders.
func TestHoldersThatRestrictNothingAreErrors(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.keyOf(escrow.KeyInput{Restrict: toHolders("h")})
	whole := s.lastEntry()
	for value, isError := range map[string]bool{`["h"]`: false, `[]`: true, `null`: true, `{}`: true, `[7]`: true, `"h"`: true, `h`: true} {
		stored := bytes.TrimSuffix(whole.Private, []byte("\x05"+`["h"]`))
		stored = append(binary.AppendUvarint(bytes.Clone(stored), uint64(len(value))), value...)
		entry, err := escrow.ParseEntry(whole.Body, stored)
		if err == nil {
			_, err = escrow.ResourceOf([]escrow.Entry{entry})
		}
		if (err != nil) != isError {
			t.Errorf("holders that are %s: the error is %v", value, err)
		}
	}
}
