package verify_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// Whoever has the database can have the server do without rules for a moment, so that the entries, the rows and the
// signatures are all as the server makes them, or write entries anew that nothing covers yet. What had no approval is
// found all the same, in a database and in a bundle.
func TestWhatHadNoApprovalIsFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		a := f.Writer.Approvals(f.Example)
		last := func(id escrow.ApprovalID, kind escrow.Kind) int64 {
			filter := escrow.EntryFilter{Subject: id.String(), Kinds: []escrow.Kind{kind}}
			found := must(f.Entries(t.Context(), of, filter, escrow.PageRequest{Limit: 1, Descending: true})).Items
			return found[0].Sequence
		}
		wantFound := func(what, want string) {
			t.Helper()
			var lines []string
			for _, difference := range f.verify(nil).Differences {
				lines = append(lines, difference.String())
			}
			if !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%s: the differences are %q, want %q", what, lines, want)
			}
		}

		// Each of these is put right again.
		given, asked := last(a.Released, escrow.KindApprovalGiven), last(a.Released, escrow.KindApprovalRequested)
		for _, test := range []struct {
			what             string
			sequence         int64
			old, replacement string
			want             string
		}{
			{"approved by the maker", given, `"actor":"` + a.Checker.String(), `"actor":"` + a.Maker.String(), "approves what counts as its own"},
			{"approved by the operator", given, `"actor":"` + a.Checker.String(), `"actor":"root`, "root approves what counts as its own"},
			{"approved as another", given, `["approver"]`, `["compliance"]`, "does not approve as compliance"},
			{"under another rule", asked, `"id":"much"`, `"id":"new"`, "by the rule much, which it does not name"},
			{"another amount", given + 1, `"amount":"8`, `"amount":"7`, "it is not what the approval " + a.Released.String()},
			{"others named", given + 1, `"by":["` + a.Checker.String(), `"by":["` + a.Maker.String(), "as those who approved"},
			{"with a broken glass", given + 1, `"]},"event"`, `"],"breakGlass":true},"event"`, "with breakGlass true"},
			{"a time that is longer", asked, `"expiresAt":"2`, `"expiresAt":"3`, "it waits until 3"},
		} {
			f.Rewrite(of, test.sequence, test.old, test.replacement)
			wantFound(test.what, test.want)
			f.Rewrite(of, test.sequence, test.replacement, test.old)
		}

		rules := "UPDATE journal_heads SET rules_sequence = $2, pending_approvals = $3 WHERE institution_id = $1"
		head, _, err := f.Head(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		f.tamper(rules, of, 0, 0)
		writer := f.Writer
		if kind == "postgres" { // A server remembers the head that it has written; another one reads it.
			other := must(store.Open(t.Context(), f.URL, 0))
			defer func() { _ = other.Close() }()
			writer = journaltest.On(t, other, f.URL)
		}
		writer.Ask(of, a.Maker, valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: f.Example.Asset.String(), HolderReference: "Mallory", Currency: "USD", Amount: "700",
		})))
		f.tamper(rules, of, head.Rules, head.Approvals)
		f.sign()
		report := f.verify(nil)
		if report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "it takes an approval by the rule new, and names none") {
			t.Errorf("a command without an approval is found as %v", report.Differences)
		}
		path := f.export()
		if report := verifyBundle(t, path); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "it takes an approval by the rule new") {
			t.Errorf("in a bundle, it is found as %v", report.Differences)
		}
		if output, verified := independently(t, path, signer.VerifierKey()); verified || !strings.Contains(output, "takes an approval by the rule new") {
			t.Errorf("independently, it is %t: %s", verified, output)
		}
	})
}

// Two readers must not take one journal of approvals for different things, whoever signed it.
func TestBothProgramsTakeApprovalsForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	a := w.Approvals(example)
	trusted := escrow.ProviderInput{Issuer: "https://login.example.com", ClientID: "c", RoleByGroup: map[string]string{"staff": "auditor"}}
	in := escrow.KeyInput{Label: "admin", Role: "admin", Owner: new("admin@example.com")}
	admin := escrow.ActorKey(w.Ask(example.Institution, escrow.ActorRoot(), journaltest.Valid(escrow.NewCreateKey(in, escrow.HashSecret("admin")))).(escrow.APIKey).ID)
	people := w.Ask(example.Institution, admin, journaltest.Valid(escrow.NewSetIdentityProvider(trusted, nil))).(escrow.Approval)
	digest := must(people.Asked()).Digest.String()
	w.Ask(example.Institution, a.Checker, journaltest.Valid(escrow.NewApproveApproval(people.ID, digest, nil)))
	trusted.ClientSecret = new("secret")
	w.Ask(example.Institution, admin, journaltest.Valid(escrow.NewSetIdentityProvider(trusted, nil)).WithSealed([]byte("s"), "k"))
	head, _, err := w.Head(t.Context(), example.Institution)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), example.Institution, 1, head.Sequence))
	same := func(text string) string { return text }
	key, signer := newKey()

	const (
		set, asked, given = `"kind":"APPROVAL_RULES_SET"`, `"kind":"APPROVAL_REQUESTED"`, `"kind":"APPROVAL_GIVEN"`
		provider          = `"kind":"IDENTITY_PROVIDER_SET"`
		created, moved    = `"kind":"POSITION_CREATED"`, `"kind":"POSITION_STATE_CHANGED"`
		released          = `"toState":"RELEASED","currency"`
	)
	checker, maker := a.Checker.String(), a.Maker.String()
	for _, test := range []struct {
		name, entry string
		// number is which of the entries with the text is changed, from 0.
		number   int
		old, new string
		verified bool
	}{
		{"as it is", set, 0, "", "", true},
		{"approved by the maker", given, 0, `"actor":"` + checker, `"actor":"` + maker, false},
		{"approved by the operator", given, 0, `"actor":"` + checker, `"actor":"root`, false},
		{"approved by the system", given, 0, `"actor":"` + checker, `"actor":"system`, false},
		{"approved as another", given, 0, `["approver"]`, `["compliance"]`, false},
		{"approved as nobody", given, 0, `["approver"]`, `[]`, false},
		{"an approval without an outcome", given, 0, `,"outcome":"EXECUTED","entries":1`, ``, false},
		{"more entries than there are", given, 0, `"entries":1`, `"entries":2`, false},
		{"no entries", given, 0, `,"entries":1`, ``, false},
		{"entries below none", given, 0, `"entries":1`, `"entries":-1`, false},
		{"an approval of another", given, 1, a.Released.String() + `","roles"`, a.Created.String() + `","roles"`, false},
		{"failed, and carried out", given, 1, `"outcome":"EXECUTED"`, `"outcome":"FAILED"`, false},
		{"named by nobody", created, 0, `"by":["` + checker + `"]`, `"by":[]`, false},
		{"named by others", created, 0, `"by":["` + checker + `"]`, `"by":["` + maker + `"]`, false},
		{"another approval named", created, 0, a.Created.String(), a.Released.String(), false},
		{"a broken glass", created, 0, `"]},"event"`, `"],"breakGlass":true},"event"`, false},
		{"a glass that is not broken", created, 0, `"]},"event"`, `"],"breakGlass":false},"event"`, false},
		{"no approval named", released, 0, `"approval":{"id":"` + a.Released.String() + `","by":["` + checker + `"]},`, ``, false},
		{"another maker", created, 0, `"actor":"` + maker, `"actor":"` + checker, false},
		{"another amount", created, 0, `"amount":"900000.00"`, `"amount":"900001.00"`, false},
		{"another asset", created, 0, `"assetId":"` + example.Asset.String(), `"assetId":"` + escrow.AssetID{15: 1}.String(), false},
		{"a release of much without an approval", moved, 1, `"amount":"20.00"`, `"amount":"60.00"`, false},
		{"a release by the system", moved, 1, `"actor":"` + maker, `"actor":"system`, false},
		{"another rule", asked, 1, `"id":"much"`, `"id":"new"`, false},
		{"a rule of another version", asked, 1, `"rules":[{"id":"much","version":1`, `"rules":[{"id":"much","version":2`, false},
		{"a rule that asks for more", asked, 1, `"count":1`, `"count":2`, false},
		{"no rule", asked, 1, `[{"id":"much","version":1,"require":[{"role":"approver","count":1}]}]`, `[]`, false},
		{"a longer time", asked, 1, `"expiresAt":"2`, `"expiresAt":"3`, false},
		{"about another amount", asked, 0, `"amount":"900000.00"`, `"amount":"900000.01"`, false},
		{"about another position", asked, 1, `"positionId":"` + a.Position.String(), `"positionId":"` + escrow.PositionID{15: 1}.String(), false},
		{"about nothing", asked, 0, `"subjects":[{`, `"subjects":[],"x":[{`, false},
		{"a command of no type", asked, 0, `"type":"position.create"`, `"type":"position.erase"`, false},
		{"a command that is none", asked, 0, `"command":{`, `"command":null,"x":{`, false},
		{"the glass broken by a key", asked, 0, `"expiresAt":"`, `"breakGlass":true,"expiresAt":"`, false},
		{"rules that ask for two", set, 0, `"require":[{"role":"approver","count":1}]`, `"require":[{"role":"approver","count":2}]`, false},
		{"rules with a smaller bound", set, 0, `"amountFrom":{"USD":"50"}`, `"amountFrom":{"USD":"20"}`, false},
		{"rules with a larger bound", set, 0, `"amountFrom":{"USD":"50"}`, `"amountFrom":{"USD":"500"}`, true},
		{"rules of the institution's window", set, 0, `"window":"24h"`, `"window":"24h","windowScope":"institution"`, false},
		{"rules of a region", set, 0, `"when":{"amountFrom"`, `"when":{"region":"US","amountFrom"`, true},
		{"rules of another region", set, 0, `"when":{"amountFrom":{"USD":"50"}`, `"when":{"region":"SG","amountFrom":{"USD":"10"}`, true},
		{"rules of the region, with a smaller bound", set, 0, `"when":{"amountFrom":{"USD":"50"}`, `"when":{"region":"US","amountFrom":{"USD":"10"}`, false},
		{"rules of an asset, with a smaller bound", set, 0, `"when":{"amountFrom":{"USD":"50"}`, `"when":{"assetId":"` + example.Asset.String() + `","amountFrom":{"USD":"10"}`, false},
		{"rules that expire otherwise", set, 0, `"expiresIn":"72h"`, `"expiresIn":"73h"`, false},
		{"a provider that nobody has approved", provider, 1, `"staff":"auditor"`, `"staff":"approver"`, false},
		{"another provider than was approved", provider, 0, `"staff":"auditor"`, `"staff":"approver"`, false},
		{"a provider of another client", asked, 6, `"clientId":"c"`, `"clientId":"d"`, false},
		{"a checker of another role", `"kind":"API_KEY_CREATED"`, 3, `"role":"approver"`, `"role":"auditor"`, false},
		{"a withdrawal of what is over", `"kind":"APPROVAL_WITHDRAWN"`, 0, `APPROVAL_WITHDRAWN`, `APPROVAL_EXPIRED`, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed, number := append([]store.StoredEntry{}, entries...), test.number
			for i := range changed {
				body := string(changed[i].Body)
				if !strings.Contains(body, test.entry) {
					continue
				}
				number--
				if number >= 0 {
					continue
				}
				if !strings.Contains(body, test.old) {
					t.Fatalf("nothing is changed in %s", body)
				}
				changed[i].Body = []byte(strings.Replace(body, test.old, test.new, 1))
				if parsed, err := escrow.ParseEntry(changed[i].Body, nil); err == nil {
					changed[i].Actor, changed[i].Kind, changed[i].Subject = parsed.Actor.String(), parsed.Kind, parsed.Subject
				}
				break
			}
			if number >= 0 {
				t.Fatalf("no entry has %s so often", test.entry)
			}
			path := signedBundle(t, key, example.Institution, changed, "escrowgrid.test/"+example.Institution.String(), same, same)
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}
}

// What the system does by the clock takes no approval, so it must have been due: else whoever has the database could
// refund what only approvals may, and say that it was the clock.
func TestWhatTheClockWasNotToDoIsFound(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	of := example.Institution
	due := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	for _, expires := range []*string{nil, new(escrow.FormatTime(due))} {
		made := w.Ask(of, escrow.ActorRoot(), valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: example.Asset.String(), HolderReference: "Ada", Currency: "USD", Amount: "70", ExpiresAt: expires,
		}))).(escrow.Position)
		expire := valid(escrow.NewTransitionPosition(made.ID, escrow.TransitionInput{ToState: "EXPIRED"}, nil))
		w.Ask(of, escrow.ActorRoot(), expire)
	}
	head, _, err := w.Head(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), of, 1, head.Sequence))
	same := func(text string) string { return text }
	key, signer := newKey()
	last := len(entries) - 1

	for _, test := range []struct {
		name     string
		place    int
		old, new string
		verified bool
	}{
		{"as it is", last, "", "", true},
		{"one that never expires", last - 2, `"actor":"root"`, `"actor":"system"`, false},
		{"one that is not due", last, `"actor":"root"`, `"actor":"system"`, false},
		{"one that was due", last - 1, `"expiresAt":"` + escrow.FormatTime(due), `"expiresAt":"` + escrow.FormatTime(due.Add(-2*time.Hour)), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := slices.Clone(entries)
			body := strings.Replace(string(changed[test.place].Body), test.old, test.new, 1)
			changed[test.place].Body = []byte(body)
			if test.name == "one that was due" {
				changed[last].Body = []byte(strings.Replace(string(changed[last].Body), `"actor":"root"`, `"actor":"system"`, 1))
				changed[last].Actor = "system"
			}
			if parsed, err := escrow.ParseEntry(changed[test.place].Body, nil); err == nil {
				changed[test.place].Actor = parsed.Actor.String()
			}

			path := signedBundle(t, key, of, changed, "escrowgrid.test/"+of.String(), same, same)
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}
}
