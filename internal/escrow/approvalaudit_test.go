package escrow_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// placesIn returns where everything stands that some entries tell of, as an audit asks for it.
func placesIn(entries []escrow.Entry) map[string]escrow.AuditPlace {
	places := make(map[string]escrow.AuditPlace)
	for _, entry := range entries {
		place, ok := entry.Place()
		if !ok {
			continue
		}
		if !place.Asset.IsZero() {
			asset := places[place.Asset.String()]
			place.Template, place.Region = asset.Template, asset.Region
		} else if !place.Template.IsZero() {
			place.Region = places[place.Template.String()].Region
		}
		places[entry.Subject] = place
	}
	return places
}

// audit returns what an audit finds in some bodies of entries, by sequence.
func audit(entries []escrow.Entry) (*escrow.ApprovalAudit, map[int64]string) {
	a := escrow.NewApprovalAudit(entries[0].InstitutionID)
	found, places := make(map[int64]string), placesIn(entries)
	for _, entry := range entries {
		if !entry.IsOfAudit() {
			continue
		}
		told := map[string]escrow.AuditPlace{}
		for _, name := range entry.AuditPlaces() {
			told[name] = places[name]
		}
		if !a.AsksForAssets() {
			told = nil
		}
		if err := a.Next(entry, told); err != nil {
			found[entry.Sequence] = err.Error()
		}
	}
	return a, found
}

// findNothing has an audit find nothing in what the books have recorded, with and without private values.
func (d *desk) findNothing() *escrow.ApprovalAudit {
	d.t.Helper()
	var parsed, bare []escrow.Entry
	for _, entry := range d.books.Entries {
		parsed = append(parsed, must(escrow.ParseEntry(entry.Body, entry.Private)))
		bare = append(bare, must(escrow.ParseEntry(entry.Body, nil)))
	}
	if _, found := audit(bare); len(found) > 0 {
		d.t.Errorf("without private values the audit finds %v", found)
	}
	a, found := audit(parsed)
	if len(found) > 0 {
		d.t.Errorf("the audit finds %v", found)
	}
	return a
}

// checkAudit has an audit find nothing, and tell what the head and the recent moves are.
func (d *desk) checkAudit() {
	d.t.Helper()
	if d.books.Rules.Len() == 0 {
		return // There is nothing to find, and this is the check of many tests.
	}
	a := d.findNothing()
	if a.Rules() != d.books.Head.Rules || a.Pending() != d.books.Head.Approvals {
		d.t.Errorf("the audit has the rules of %d and %d pending, and the head is %+v", a.Rules(), a.Pending(), d.books.Head)
	}
	moves := map[string]escrow.RecentMoves{}
	for _, of := range a.Moves() {
		moves[of.Of] = of
	}
	if diff := cmp.Diff(maps.Collect(d.books.Moves.All()), moves, exactly()); diff != "" && len(moves)+d.books.Moves.Len() > 0 {
		d.t.Errorf("the moves of the books (-) and of the audit (+) differ:\n%s", diff)
	}
}

// forgery is a journal that somebody writes anew.
type forgery struct {
	t       *testing.T
	entries []escrow.Entry
}

// of returns the place of the n-th entry, from 0, whose body has a text.
func (f *forgery) of(text string, n int) int {
	f.t.Helper()
	for i, entry := range f.entries {
		if !strings.Contains(string(entry.Body), text) {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	f.t.Fatalf("no entry has %s", text)
	return 0
}

// edit writes the n-th entry that has a text with another text in the place of one.
func (f *forgery) edit(text string, n int, old, replacement string) {
	f.t.Helper()
	entry := &f.entries[f.of(text, n)]
	body := bytes.Replace(entry.Body, []byte(old), []byte(replacement), 1)
	if bytes.Equal(body, entry.Body) {
		f.t.Fatalf("%s has no %s", entry.Body, old)
	}
	entry.Body = body
}

// drop takes the n-th entry away that has a text, and numbers those that follow anew.
func (f *forgery) drop(text string, n int) {
	f.t.Helper()
	place := f.of(text, n)
	f.entries = slices.Delete(f.entries, place, place+1)
	for i := place; i < len(f.entries); i++ {
		f.entries[i].Body = bytes.Replace(f.entries[i].Body,
			fmt.Appendf(nil, `"sequence":%d,`, i+2), fmt.Appendf(nil, `"sequence":%d,`, i+1), 1)
	}
}

// repeat adds the n-th entry that has a text once more, at the end.
func (f *forgery) repeat(text string, n int) {
	f.t.Helper()
	entry := f.entries[f.of(text, n)]
	last := len(f.entries)
	entry.Body = bytes.Replace(entry.Body,
		fmt.Appendf(nil, `"sequence":%d,`, entry.Sequence), fmt.Appendf(nil, `"sequence":%d,`, last+1), 1)
	f.entries = append(f.entries, entry)
}

// find returns what an audit finds.
func (f *forgery) find() map[int64]string {
	f.t.Helper()
	for i, entry := range f.entries {
		f.entries[i] = must(escrow.ParseEntry(entry.Body, nil))
	}
	_, found := audit(f.entries)
	return found
}

// Whoever has the database and the keys of the log can write entries that look right, each by itself. What was
// carried out without the approvals that it takes is found all the same.
func TestAnAuditFindsWhatHadNoApproval(t *testing.T) {
	t.Parallel()
	b := openBank(t, []escrow.ApprovalRuleInput{}...)
	elsewhere := b.escrow()
	b.accept(valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{
		{
			ID: "large", On: []string{"positions.release"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 2}},
			When: escrow.RuleConditionsInput{AmountFrom: map[string]money.Digits{"USD": "500"}, Window: new("24h"), AssetID: new(elsewhere.String())},
		},
		{
			ID: "some", On: []string{"positions.release"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 2}},
			When: escrow.RuleConditionsInput{AmountFrom: map[string]money.Digits{"USD": "500"}, Window: new("24h")},
		},
		{ID: "keys", On: []string{"keys.manage", "roles.manage", "approval_rules.set", "identity_provider.set"}, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}}},
	}, nil)))
	one, two, three := b.funded("1000"), b.funded("700"), b.funded("700")
	_ = b.as(b.maker, transition(one, "PARTIALLY_RELEASED", "100"))
	large := b.ask(b.maker, transition(one, "RELEASED", ""))
	b.approved(b.ann, large)
	b.approved(b.bob, large)
	other := b.ask(b.maker, transition(two, "RELEASED", ""))
	b.approved(b.ann, other)
	role := b.ask(b.eve, setRole("clerk", "positions.read"))
	b.approved(b.ann, role)
	b.breakGlass(transition(three, "RELEASED", ""))
	trusted := b.ask(b.eve, valid(escrow.NewSetIdentityProvider(providerInput(map[string]string{"t": "auditor"}), nil)))
	b.approved(b.ann, trusted)
	secret := providerInput(map[string]string{"t": "auditor"})
	secret.ClientSecret = new("new")
	_ = b.as(b.eve, valid(escrow.NewSetIdentityProvider(secret, nil)).WithSealed([]byte("s"), "k"))
	b.findNothing()

	released := `"fromState":"PARTIALLY_RELEASED","toState":"RELEASED"`
	marked := func(f *forgery, text string) string {
		body := string(f.entries[f.of(text, 0)].Body)
		from := strings.Index(body, `"approval":`)
		return body[from : from+strings.Index(body[from:], `"event":`)]
	}
	const requested, given = `"kind":"APPROVAL_REQUESTED"`, `"kind":"APPROVAL_GIVEN"`
	for name, test := range map[string]struct {
		forge func(*forgery)
		want  string
	}{
		"no approval named": {
			func(f *forgery) { f.edit(released, 0, marked(f, released), "") }, "it does not name the approval " + large.ID.String(),
		},
		"no approval at all": {func(f *forgery) {
			f.edit(released, 0, marked(f, released), "")
			f.drop(given, 0)
			f.drop(given, 0)
			f.drop(requested, 0)
		}, "it takes an approval by the rule some, and names none"},
		"by the system": {func(f *forgery) {
			f.edit(released, 0, marked(f, released), "")
			f.edit(released, 0, `"actor":"`+b.maker.String(), `"actor":"system`)
			f.drop(given, 0)
			f.drop(given, 0)
			f.drop(requested, 0)
		}, "the system does this of itself"},
		"one approval too few":    {func(f *forgery) { f.drop(given, 0) }, `there are missing approver (1), and the approval tells the outcome "EXECUTED"`},
		"the maker approves":      {func(f *forgery) { f.edit(given, 0, b.ann.String(), b.maker.String()) }, "approves what counts as its own"},
		"one person twice":        {func(f *forgery) { f.edit(given, 1, b.bob.String(), b.ann.String()) }, "approves what counts as its own"},
		"somebody without a role": {func(f *forgery) { f.edit(given, 1, b.bob.String(), b.cat.String()) }, "does not approve as approver"},
		"a role that is not asked for": {func(f *forgery) {
			f.edit(given, 1, b.bob.String(), b.cat.String())
			f.edit(given, 1, `["approver"]`, `["compliance"]`)
		}, "does not approve as compliance"},
		"the operator approves":         {func(f *forgery) { f.edit(given, 1, b.bob.String(), "root") }, "root approves what counts as its own"},
		"others are named as approvers": {func(f *forgery) { f.edit(released, 0, b.bob.String(), b.cat.String()) }, "as those who approved"},
		"another amount":                {func(f *forgery) { f.edit(released, 0, `"amount":"900.00"`, `"amount":"901.00"`) }, "it is not what the approval"},
		"another position":              {func(f *forgery) { swap(f, released, one, two) }, "it is not what the approval"},
		"another state":                 {func(f *forgery) { f.edit(released, 0, `"toState":"RELEASED"`, `"toState":"PARTIALLY_RELEASED"`) }, "it is not what the approval"},
		"another actor":                 {func(f *forgery) { f.edit(released, 0, `"actor":"`+b.maker.String(), `"actor":"`+b.eve.String()) }, "has asked for the approval"},
		"carried out twice":             {func(f *forgery) { f.repeat(released, 0) }, "which is not carried out here"},
		"fewer rules":                   {func(f *forgery) { f.edit(requested, 0, `"id":"some"`, `"id":"keys"`) }, "which is not in force like that"},
		"rules that ask for less":       {func(f *forgery) { f.edit(requested, 0, `"count":2`, `"count":1`) }, "which is not in force like that"},
		"rules of another version":      {func(f *forgery) { f.edit(requested, 0, `"version":1`, `"version":2`) }, "which is not in force like that"},
		"another rule": {func(f *forgery) {
			f.edit(requested, 0, `[{"id":"some","version":1,"require":[{"role":"approver","count":2`, `[{"id":"keys","version":1,"require":[{"role":"approver","count":1`)
		}, "by the rule some, which it does not name"},
		"no rule": {func(f *forgery) { cut(f, requested, `"rules":[`, `],"expiresAt"`) }, "it names no rule"},
		"a provider that nobody has approved": {func(f *forgery) {
			f.edit(`"kind":"IDENTITY_PROVIDER_SET"`, 1, `"t":"auditor"`, `"t":"approver"`)
		}, "it takes an approval by the rule keys, and names none"},
		"another provider than was approved": {func(f *forgery) {
			f.edit(`"kind":"IDENTITY_PROVIDER_SET"`, 0, `"t":"auditor"`, `"t":"approver"`)
		}, "it is not what the approval"},
		"a longer time":              {func(f *forgery) { f.edit(requested, 0, `"expiresAt":"20`, `"expiresAt":"21`) }, "it waits until 21"},
		"an approval after its time": {func(f *forgery) { f.edit(given, 1, `"at":"20`, `"at":"30`) }, "expired before that"},
		"what is shown is another command": {func(f *forgery) {
			f.edit(requested, 0, `"subject":"`+one.String()+`","permission"`, `"subject":"`+two.String()+`","permission"`)
		}, "and its command is not"},
		"a role with other rights": {func(f *forgery) { f.edit(`"kind":"ROLE_SET"`, 0, `["positions.read"]`, `["positions.fund"]`) }, "it is not what the approval"},
		"the glass is broken by a key": {func(f *forgery) {
			f.edit(`"breakGlass":true,"reason"`, 0, `"actor":"root"`, `"actor":"`+b.maker.String()+`"`)
		}, "breaks the glass"},
		"no broken glass":         {func(f *forgery) { f.edit(`"breakGlass":true}`, 0, `,"breakGlass":true}`, `}`) }, "with breakGlass false"},
		"fewer entries than told": {func(f *forgery) { f.edit(given, 1, `"entries":1`, `"entries":2`) }, "it does not name the approval"},
		"no entry of those told":  {func(f *forgery) { f.drop(released, 0); f.edit(given, 1, `"entries":1`, `"entries":9`) }, "it does not name the approval"},
		"something else in its place": {func(f *forgery) {
			place := f.of(released, 0)
			f.entries[place].Body = bytes.Replace(f.entries[0].Body, []byte(`"sequence":1,`), fmt.Appendf(nil, `"sequence":%d,`, place+1), 1)
		}, "before it are 0 entries that the approval"},
		"a rule about the asset": {func(f *forgery) {
			f.edit(`"kind":"APPROVAL_RULES_SET"`, 0, elsewhere.String(), b.asset.String())
		}, "by the rule large, which it does not name"},
		"executed without the last approval": {func(f *forgery) { f.edit(given, 2, `["approver"]`, `["approver"],"outcome":"EXECUTED","entries":1`) }, `tells the outcome "EXECUTED"`},
		"a window of small ones": {func(f *forgery) {
			f.edit(released, 0, marked(f, released), "")
			f.edit(released, 0, `"amount":"900.00"`, `"amount":"400.00"`)
			f.drop(given, 0)
			f.drop(given, 0)
			f.drop(requested, 0)
			f.edit(`"toState":"PARTIALLY_RELEASED"`, 0, `"requestId":"`, `"requestId":"x`)
		}, "it takes an approval by the rule some"},
	} {
		f := &forgery{t: t, entries: slices.Clone(b.books.Entries)}
		test.forge(f)
		found := f.find()
		if told := strings.Join(slices.Collect(maps.Values(found)), "\n"); !strings.Contains(told, test.want) {
			t.Errorf("%s: the audit finds %v, want %q", name, found, test.want)
		}
	}
}

// swap has an entry be about another position.
func swap(f *forgery, text string, one, other escrow.PositionID) {
	place := f.of(text, 0)
	f.entries[place].Body = bytes.ReplaceAll(f.entries[place].Body, []byte(one.String()), []byte(other.String()))
}

// cut takes away what an entry has between two texts.
func cut(f *forgery, text, before, after string) {
	place := f.of(text, 0)
	head, rest, _ := bytes.Cut(f.entries[place].Body, []byte(before))
	_, tail, _ := bytes.Cut(rest, []byte(after))
	f.entries[place].Body = slices.Concat(head, []byte(before), []byte(after), tail)
}

// A batch is held against the rules as a whole, before any of it has moved: what its first items move does not
// add to what a rule is about that is about the others.
func TestAnAuditTakesTheItemsOfABatchTogether(t *testing.T) {
	t.Parallel()
	b := openBank(t, []escrow.ApprovalRuleInput{}...)
	other := b.escrow()
	b.accept(valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{{
		ID: "asset", On: []string{"positions.release"}, Require: approvers(1),
		When: escrow.RuleConditionsInput{
			AmountFrom: map[string]money.Digits{"USD": "50"}, Window: new("24h"), AssetID: new(b.asset.String()),
		},
	}}, nil)))
	one := b.funded("10")
	two := b.position(other, "100", "USD")
	b.accept(transition(two, "FUNDED", ""))
	item := func(id escrow.PositionID) escrow.TransitionItem {
		return escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{ToState: "RELEASED"}}
	}
	if outcome := b.as(b.maker, transitions(item(two), item(one)).batch(true)); outcome.Refusal != nil || b.get(one).State != "RELEASED" {
		t.Fatalf("the batch became %+v, %v", outcome.Resource, outcome.Refusal)
	}
	b.checkReplay()
}
