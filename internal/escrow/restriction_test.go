package escrow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Restrictions as clients give them.

func toTemplates(ids ...escrow.TemplateID) *escrow.RestrictionInput {
	return &escrow.RestrictionInput{TemplateIDs: texts(ids)}
}

func toAssets(ids ...escrow.AssetID) *escrow.RestrictionInput {
	return &escrow.RestrictionInput{AssetIDs: texts(ids)}
}

func toHolders(references ...string) *escrow.RestrictionInput {
	return &escrow.RestrictionInput{HolderReferences: &references}
}

func toAmounts(currency, bound string) *escrow.RestrictionInput {
	return &escrow.RestrictionInput{MaxAmount: map[string]money.Digits{currency: money.Digits(bound)}}
}

func texts[T interface{ String() string }](values []T) *[]string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = value.String()
	}
	return &texts
}

// scene is an institution with some business: the template one has the assets a and b, two has c, and
// euros has e.
type scene struct {
	*desk
	one, two, euros escrow.TemplateID
	a, b, c, e      escrow.AssetID
}

func openScene(t rapid.TB) *scene {
	t.Helper()
	s := &scene{desk: openDesk(t)}
	const dollars = `{"currency":"USD","uniqueExternalReference":true}`
	s.one, s.two = s.template(escrow.ConstructionEscrow, dollars), s.template(escrow.ConstructionEscrow, dollars)
	s.euros = s.template(escrow.ConstructionEscrow, `{"currency":"EUR"}`)
	s.a, s.b, s.c, s.e = s.asset(s.one), s.asset(s.one), s.asset(s.two), s.asset(s.euros)
	return s
}

// claim makes the command for a position of a holder.
func claim(on escrow.AssetID, holder, currency, amount string) escrow.CreatePosition {
	return valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: on.String(), HolderReference: holder, Currency: currency, Amount: money.Digits(amount),
	}))
}

// has is a position of a holder, moved through some states; the last words can be amounts: "FUNDED",
// "PARTIALLY_RELEASED 10".
func (s *scene) has(on escrow.AssetID, holder, currency, amount string, steps ...string) escrow.PositionID {
	s.t.Helper()
	id := subjectID[escrow.PositionID](s.accept(claim(on, holder, currency, amount)))
	for _, step := range steps {
		to, amount, _ := strings.Cut(step, " ")
		s.accept(transition(id, escrow.State(to), amount))
	}
	return id
}

func relabel(id escrow.AssetID) escrow.UpdateAsset {
	return valid(escrow.NewUpdateAsset(id, escrow.AssetChange{Label: new("Another")}, nil))
}

func assetOf(id escrow.TemplateID) escrow.CreateAsset {
	return valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: id.String(), Label: "An asset"}))
}

// What each command answers to a key that is restricted to the template one, to the asset a, to the holder
// h, and to 100 dollars at a time; "-" is accepted.
func TestRestrictedKeysAreForTheirPartOfTheBusiness(t *testing.T) {
	t.Parallel()
	const (
		beyond     = "key_restricted"
		noTemplate = "asset_template_not_found"
		noAsset    = "asset_not_found"
		noPosition = "position_not_found"
	)
	for _, test := range []struct {
		name    string
		command func(s *scene) escrow.Command
		// want is of keys for the template, the asset, the holder, and amounts.
		want [4]string
	}{
		{"an asset of the template", func(s *scene) escrow.Command { return assetOf(s.one) }, [4]string{"-", beyond, beyond, "-"}},
		{"an asset of another", func(s *scene) escrow.Command { return assetOf(s.two) }, [4]string{noTemplate, beyond, beyond, "-"}},
		{"the asset's label", func(s *scene) escrow.Command { return relabel(s.a) }, [4]string{"-", "-", beyond, "-"}},
		{"that of another of the template", func(s *scene) escrow.Command { return relabel(s.b) }, [4]string{"-", noAsset, beyond, "-"}},
		{"that of another", func(s *scene) escrow.Command { return relabel(s.c) }, [4]string{noAsset, noAsset, beyond, "-"}},
		{"closing the asset", func(s *scene) escrow.Command { return escrow.CloseAsset{Asset: s.a} }, [4]string{"-", "-", beyond, "-"}},
		{"closing another", func(s *scene) escrow.Command { return escrow.CloseAsset{Asset: s.c} }, [4]string{noAsset, noAsset, beyond, "-"}},

		{"a position of the bound", func(s *scene) escrow.Command { return claim(s.a, "h", "USD", "100") }, [4]string{"-", "-", "-", "-"}},
		{"a cent more", func(s *scene) escrow.Command { return claim(s.a, "h", "USD", "100.01") }, [4]string{"-", "-", "-", beyond}},
		{"of another holder", func(s *scene) escrow.Command { return claim(s.a, "i", "USD", "1") }, [4]string{"-", "-", beyond, "-"}},
		{"on another asset of the template", func(s *scene) escrow.Command { return claim(s.b, "h", "USD", "1") }, [4]string{"-", noAsset, "-", "-"}},
		{"on another asset", func(s *scene) escrow.Command { return claim(s.c, "h", "USD", "1") }, [4]string{noAsset, noAsset, "-", "-"}},
		{"in another currency", func(s *scene) escrow.Command { return claim(s.e, "h", "EUR", "1") }, [4]string{noAsset, noAsset, "-", beyond}},

		{"funding", func(s *scene) escrow.Command { return transition(s.has(s.a, "h", "USD", "100"), "FUNDED", "") }, [4]string{"-", "-", "-", "-"}},
		{"funding more", func(s *scene) escrow.Command { return transition(s.has(s.a, "h", "USD", "100.01"), "FUNDED", "") }, [4]string{"-", "-", "-", beyond}},
		{"funding another holder's", func(s *scene) escrow.Command { return transition(s.has(s.a, "i", "USD", "1"), "FUNDED", "") }, [4]string{"-", "-", noPosition, "-"}},
		{"funding one on another asset of the template", func(s *scene) escrow.Command { return transition(s.has(s.b, "h", "USD", "1"), "FUNDED", "") }, [4]string{"-", noPosition, "-", "-"}},
		{"funding one on another asset", func(s *scene) escrow.Command { return transition(s.has(s.c, "h", "USD", "1"), "FUNDED", "") }, [4]string{noPosition, noPosition, "-", "-"}},
		{"funding one in another currency", func(s *scene) escrow.Command { return transition(s.has(s.e, "h", "EUR", "1"), "FUNDED", "") }, [4]string{noPosition, noPosition, "-", beyond}},

		{"releasing the bound, in part", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED"), "PARTIALLY_RELEASED", "100")
		}, [4]string{"-", "-", "-", "-"}},
		{"releasing a cent more, in part", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED"), "PARTIALLY_RELEASED", "100.01")
		}, [4]string{"-", "-", "-", beyond}},
		{"releasing all, of which the bound is left", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED", "PARTIALLY_RELEASED 100"), "RELEASED", "")
		}, [4]string{"-", "-", "-", "-"}},
		{"releasing all, of which more is left", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED", "PARTIALLY_RELEASED 99.99"), "RELEASED", "")
		}, [4]string{"-", "-", "-", beyond}},
		{"releasing all, with its amount", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED", "PARTIALLY_RELEASED 99.99"), "RELEASED", "100.01")
		}, [4]string{"-", "-", "-", beyond}},
		{"releasing too little of more than the bound", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED"), "RELEASED", "1")
		}, [4]string{"transition_amount", "transition_amount", "transition_amount", "transition_amount"}},
		{"refunding more", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "100.01", "FUNDED"), "CANCELLED", "")
		}, [4]string{"-", "-", "-", beyond}},
		{"refunding nothing", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "100.01"), "CANCELLED", "")
		}, [4]string{"-", "-", "-", "-"}},
		{"refunding nothing in another currency", func(s *scene) escrow.Command {
			return transition(s.has(s.e, "h", "EUR", "1"), "EXPIRED", "")
		}, [4]string{noPosition, noPosition, "-", beyond}},
		{"what cannot be, of more than the bound", func(s *scene) escrow.Command {
			return transition(s.has(s.a, "h", "USD", "200", "FUNDED"), "FUNDED", "")
		}, [4]string{"invalid_transition", "invalid_transition", "invalid_transition", "invalid_transition"}},

		{"erasing", func(s *scene) escrow.Command { return erasure(s.has(s.a, "h", "USD", "200", "CANCELLED"), "") }, [4]string{"-", "-", "-", "-"}},
		{"erasing another holder's", func(s *scene) escrow.Command { return erasure(s.has(s.a, "i", "USD", "1", "CANCELLED"), "") }, [4]string{"-", "-", noPosition, "-"}},
		{"erasing one on another asset of the template", func(s *scene) escrow.Command { return erasure(s.has(s.b, "h", "USD", "1", "CANCELLED"), "") }, [4]string{"-", noPosition, "-", "-"}},
		{"erasing one on another asset", func(s *scene) escrow.Command { return erasure(s.has(s.c, "h", "USD", "1", "CANCELLED"), "") }, [4]string{noPosition, noPosition, "-", "-"}},
		{"what became of a holder's positions", func(*scene) escrow.Command { return escrow.RecordErasure{} }, [4]string{beyond, beyond, beyond, "-"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got [4]string
			for i := range got {
				s := openScene(t)
				restriction := []*escrow.RestrictionInput{toTemplates(s.one), toAssets(s.a), toHolders("h"), toAmounts("USD", "100")}[i]
				command := test.command(s)
				s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: restriction}))
				got[i] = "-"
				if outcome := s.execute(s.request(command)); outcome.Refusal != nil {
					got[i] = string(outcome.Refusal.Code)
				}
			}
			if got != test.want {
				t.Errorf("keys for a template, an asset, a holder and amounts are answered\n%v, want\n%v", got, test.want)
			}
		})
	}
}

// Each part of a restriction must allow.
func TestAllPartsOfARestrictionCount(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: &escrow.RestrictionInput{
		TemplateIDs: texts([]escrow.TemplateID{s.one, s.two}), AssetIDs: texts([]escrow.AssetID{s.a, s.e}),
		HolderReferences: &[]string{"h", "i"}, MaxAmount: map[string]money.Digits{"USD": "100", "EUR": "100"},
	}}))
	s.accept(claim(s.a, "h", "USD", "100"))
	s.accept(claim(s.a, "i", "USD", "100"))
	s.refuse(claim(s.b, "h", "USD", "100"), escrow.CodeAssetNotFound) // a template's, but not the asset
	s.refuse(claim(s.e, "h", "EUR", "100"), escrow.CodeAssetNotFound) // the asset, but of another template
	s.refuse(claim(s.a, "j", "USD", "100"), escrow.CodeKeyRestricted)
	s.refuse(relabel(s.b), escrow.CodeAssetNotFound)
	s.refuse(escrow.CloseAsset{Asset: s.b}, escrow.CodeAssetNotFound)
	s.refuse(relabel(s.a), escrow.CodeKeyRestricted) // seen, but the key is one of some holders
	s.refuse(claim(s.a, "h", "USD", "101"), escrow.CodeKeyRestricted)
}

func TestRefusalsOfAmountsNameTheBound(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: toAmounts("usd", "100.50")}))
	for detail, command := range map[string]escrow.Command{
		"The API key is for amounts of at most 100.5 USD.": claim(s.a, "h", "USD", "100.51"),
		"The API key is not for amounts in EUR.":           claim(s.e, "h", "EUR", "1"),
	} {
		if refusal := s.refusal(command, escrow.CodeKeyRestricted); refusal.Detail != detail {
			t.Errorf("the refusal says %q, want %q", refusal.Detail, detail)
		}
	}
}

// Nothing tells what is hidden from what is not there: neither the code, nor the words, nor what comes first.
func TestWhatIsHiddenIsRefusedAsWhatIsNotThere(t *testing.T) {
	t.Parallel()
	hidden := func(s *scene) (escrow.TemplateID, escrow.AssetID, escrow.PositionID) {
		return s.two, s.c, s.has(s.c, "i", "USD", "50", "FUNDED", "PARTIALLY_RELEASED 10")
	}
	past := opening()
	commands := func(template escrow.TemplateID, asset escrow.AssetID, position escrow.PositionID) []escrow.Command {
		return []escrow.Command{
			assetOf(template), relabel(asset),
			escrow.CloseAsset{Asset: asset},
			valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: new("B")}, []int64{9})),
			claim(asset, "h", "USD", "1"), claim(asset, "i", "USD", "1"), claim(asset, "h", "JPY", "9999"),
			newPosition(asset, "1", "USD", &past),
			transition(position, "FUNDED", ""), transition(position, "CANCELLED", "", 9), transition(position, "PARTIALLY_RELEASED", "0.001"),
			transition(position, "RELEASED", ""), erasure(position, ""), erasure(position, "", 9),
		}
	}
	restrictions := map[string]func(s *scene) *escrow.RestrictionInput{
		"a template": func(s *scene) *escrow.RestrictionInput { return toTemplates(s.one) },
		"an asset":   func(s *scene) *escrow.RestrictionInput { return toAssets(s.a) },
		"a part of a template": func(s *scene) *escrow.RestrictionInput {
			return &escrow.RestrictionInput{TemplateIDs: texts([]escrow.TemplateID{s.one}), HolderReferences: &[]string{"h"}, MaxAmount: map[string]money.Digits{"USD": "5"}}
		},
	}
	for name, restriction := range restrictions {
		for _, isClosed := range []bool{false, true} {
			s := openScene(t)
			template, asset, position := hidden(s)
			key := s.keyOf(escrow.KeyInput{Restrict: restriction(s)})
			s.now = past.Add(time.Minute)
			if isClosed {
				s.accept(transition(position, "RELEASED", ""))
				s.accept(escrow.CloseInstitution{})
			}
			s.actor = escrow.ActorKey(key)
			missing := commands(escrow.TemplateID{1}, escrow.AssetID{1}, escrow.PositionID{1})
			for i, command := range commands(template, asset, position) {
				got, want := s.execute(s.request(command)).Refusal, s.execute(s.request(missing[i])).Refusal
				told := strings.NewReplacer(
					template.String(), escrow.TemplateID{1}.String(), asset.String(), escrow.AssetID{1}.String(), position.String(), escrow.PositionID{1}.String(),
				).Replace(fmt.Sprint(got))
				if got == nil || want == nil || told != want.Error() {
					t.Errorf("a key for %s: %T (%d) is refused with %v where it is hidden, and with %v where it is not there", name, command, i, got, want)
				}
			}
		}
	}
}

// The other position is named to who sees it.
func TestAReferenceThatIsTakenNamesNoHiddenPosition(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	taken := func(on escrow.AssetID, holder string) escrow.CreatePosition {
		return valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: on.String(), HolderReference: holder, Currency: "USD", Amount: "1", ExternalReference: new("invoice 1"),
		}))
	}
	other := subjectID[escrow.PositionID](s.accept(taken(s.a, "h")))
	named := "The position " + other.String() + " of the asset's template has this externalReference, which is unique there."
	unnamed := "Another position of the asset's template has this externalReference, which is unique there."
	for name, test := range map[string]struct {
		restrict *escrow.RestrictionInput
		want     string
	}{
		"everything":        {nil, named},
		"its template":      {toTemplates(s.one), named},
		"its holder":        {toHolders("h", "i"), named},
		"another holder":    {toHolders("i"), unnamed},
		"another asset":     {toAssets(s.b), unnamed},
		"bounds of amounts": {toAmounts("USD", "5"), named},
	} {
		s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: test.restrict}))
		if refusal := s.refusal(taken(s.b, "i"), escrow.CodeExternalReference); refusal.Detail != test.want {
			t.Errorf("a key for %s is told %q, want %q", name, refusal.Detail, test.want)
		}
	}
}

// The assets of positions are asked for by who is restricted to templates. Where they are not there, nobody
// has looked.
func TestAPositionWhoseAssetWasNotAskedForIsHiddenFromAKeyOfSomeTemplates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		loaded bool
		want   [3]escrow.Code // of keys for the template, the asset and the holder
	}{
		"asked for": {true, [3]escrow.Code{}},
		"not":       {false, [3]escrow.Code{escrow.CodePositionNotFound}},
	} {
		for i, want := range test.want {
			s := openScene(t)
			id := s.has(s.a, "h", "USD", "1")
			key := s.keyOf(escrow.KeyInput{Restrict: []*escrow.RestrictionInput{toTemplates(s.one), toAssets(s.a), toHolders("h")}[i]})
			books := newDesk(t, s.books.InstitutionID())
			books.books.Head = s.books.Head
			books.books.Keys.Load(key, s.getKey(key))
			books.books.Positions.Load(id, s.get(id))
			if asset, _ := s.books.Assets.Get(s.a); test.loaded {
				books.books.Assets.Load(s.a, asset)
			}
			books.actor = escrow.ActorKey(key)
			var got escrow.Code
			if outcome := books.execute(books.request(transition(id, "FUNDED", ""))); outcome.Refusal != nil {
				got = outcome.Refusal.Code
			}
			if got != want {
				t.Errorf("%s, restriction %d: the refusal is %q, want %q", name, i, got, want)
			}
		}
	}
}

// What was erased is nobody's.
func TestAnErasedPositionIsHiddenFromAKeyOfSomeHolders(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	id := s.has(s.a, "h", "USD", "1", "CANCELLED")
	holders := escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: toHolders("h")}))
	assets := escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: toAssets(s.a)}))
	s.actor = holders
	s.accept(erasure(id, "asked for by letter"))
	s.refuse(erasure(id, ""), escrow.CodePositionNotFound)
	s.refuse(transition(id, "FUNDED", ""), escrow.CodePositionNotFound)
	s.actor = assets
	s.refuse(transition(id, "FUNDED", ""), escrow.CodeInvalidTransition)
	s.accept(erasure(id, ""))
}

// Of a batch each item is judged by itself.
func TestItemsOfABatchAreRefusedOneByOne(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		s := openScene(t)
		ours, theirs := s.has(s.a, "h", "USD", "100"), s.has(s.a, "i", "USD", "1")
		s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: &escrow.RestrictionInput{
			HolderReferences: &[]string{"h"}, MaxAmount: map[string]money.Digits{"USD": "100"},
		}}))
		moves := transitions(
			item(ours, "FUNDED", ""), item(theirs, "FUNDED", ""), item(ours, "PARTIALLY_RELEASED", "40"), item(escrow.PositionID{1}, "FUNDED", ""),
			item(ours, "NOWHERE", ""), item(ours, "RELEASED", ""),
		).batch(atomic)
		creates := creations(
			input(s.a, "h", "100"), input(s.a, "i", "1"), input(s.a, "h", "100.01"), input(escrow.AssetID{1}, "h", "1"), input(s.c, "h", "2"),
		).batch(atomic)
		checkItems(t, s.execute(s.request(moves)), atomic, "", "position_not_found", "", "position_not_found", "invalid_input", "")
		checkItems(t, s.execute(s.request(creates)), atomic, "", "key_restricted", "key_restricted", "asset_not_found", "")
		s.checkReplay()
	}
}

func item(id escrow.PositionID, to, amount string) escrow.TransitionItem {
	in := escrow.TransitionInput{ToState: to}
	if amount != "" {
		in.Amount = new(money.Digits(amount))
	}
	return escrow.TransitionItem{PositionID: id.String(), TransitionInput: in}
}

func input(on escrow.AssetID, holder, amount string) escrow.PositionInput {
	return escrow.PositionInput{AssetID: on.String(), HolderReference: holder, Currency: "USD", Amount: money.Digits(amount)}
}

// checkItems compares the refusals of a batch's items. An atomic batch with any is refused as a whole.
func checkItems(t *testing.T, outcome escrow.Outcome, atomic bool, want ...escrow.Code) {
	t.Helper()
	var refusals escrow.ItemRefusals
	if results, ok := outcome.Resource.(escrow.BatchResults); ok {
		refusals = results.Refusals()
	}
	if outcome.Refusal != nil {
		refusals = outcome.Refusal.Items
	}
	if isRefused := outcome.Refusal != nil && outcome.Refusal.Code == escrow.CodeBatchRefused; isRefused != atomic {
		t.Errorf("an atomic batch, %t, is refused as a whole: %v", atomic, outcome.Refusal)
	}
	var got []escrow.Code
	for _, refusal := range refusals {
		if refusal == nil {
			got = append(got, "")
		} else {
			got = append(got, refusal.Code)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refusals of the items wanted (-) and given (+):\n%s", diff)
	}
}

// An answer that is repeated shows no more than the request would have been answered.
func TestARestrictedKeyIsNotToldWhatBecameOfAnothersRequest(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	ours, theirs := s.has(s.a, "h", "USD", "50"), s.has(s.a, "i", "USD", "50")
	closing := s.has(s.a, "h", "USD", "50", "FUNDED")
	restricted := escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: &escrow.RestrictionInput{
		HolderReferences: &[]string{"h"}, MaxAmount: map[string]money.Digits{"USD": "100"},
	}}))
	for name, test := range map[string]struct {
		command escrow.Command
		want    escrow.Code // of the refusal; none where it is told
	}{
		"one on its own position":   {transition(ours, "FUNDED", ""), ""},
		"one on another's":          {transition(theirs, "FUNDED", ""), escrow.CodePositionNotFound},
		"one that was refused":      {transition(theirs, "CREATED", ""), escrow.CodePositionNotFound},
		"a new position of its own": {claim(s.a, "h", "USD", "1"), ""},
		"of another holder":         {claim(s.a, "i", "USD", "1"), escrow.CodeKeyRestricted},
		"of a larger amount":        {claim(s.a, "h", "USD", "101"), escrow.CodeKeyRestricted},
		"the institution's":         {valid(escrow.NewSetPolicy("SG", rules("1", ""))), escrow.CodeKeyRestricted},
		"a batch of its own":        {creations(input(s.a, "h", "1"), input(s.a, "h", "2")).batch(false), ""},
		"a batch with another's":    {creations(input(s.a, "h", "1"), input(s.a, "i", "2")).batch(false), escrow.CodeKeyRestricted},
		"a batch with a refused item of its own": {
			transitions(item(closing, "RELEASED", ""), item(closing, "FUNDED", ""), item(closing, "NOWHERE", "")).batch(false), "",
		},
		"a batch with one that is not there":    {transitions(item(escrow.PositionID{1}, "FUNDED", "")).batch(false), ""},
		"a batch with a refused one of another": {transitions(item(theirs, "CREATED", "")).batch(false), escrow.CodeKeyRestricted},
		"an atomic one of another, refused":     {transitions(item(theirs, "CREATED", ""), item(ours, "CREATED", "")).batch(true), escrow.CodeKeyRestricted},
		"an atomic one of its own, refused":     {transitions(item(ours, "CREATED", "")).batch(true), ""},
	} {
		s.actor = escrow.ActorRoot()
		request := under(s.request(test.command), name, 1)
		s.execute(request)
		request.Actor = restricted
		outcome := s.execute(request)
		if test.want == "" && (outcome.Record == nil || outcome.Refusal != nil) ||
			test.want != "" && (outcome.Record != nil || outcome.Refusal == nil || outcome.Refusal.Code != test.want) {
			t.Errorf("%s: the outcome is %+v (%v), want the refusal %q", name, outcome, outcome.Refusal, test.want)
		}
	}
}

// What was done is answered as it was done, whatever became of the position since.
func TestARestrictedKeyRepeatsItsOwnRequests(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	one, two := s.has(s.a, "h", "USD", "100"), s.has(s.a, "h", "USD", "100")
	s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: &escrow.RestrictionInput{
		TemplateIDs: texts([]escrow.TemplateID{s.one}), HolderReferences: &[]string{"h"}, MaxAmount: map[string]money.Digits{"USD": "100"},
	}}))
	commands := []escrow.Command{
		transition(one, "FUNDED", ""), transition(one, "PARTIALLY_RELEASED", "60"), transition(one, "RELEASED", ""),
		transitions(
			item(two, "RELEASED", ""), item(two, "FUNDED", ""), item(two, "PARTIALLY_RELEASED", "60"), item(one, "CANCELLED", ""), item(two, "CANCELLED", ""),
		).batch(false),
	}
	for i, command := range commands {
		s.execute(under(s.request(command), fmt.Sprint(i), 1))
	}
	for i, command := range commands {
		if outcome := s.execute(under(s.request(command), fmt.Sprint(i), 1)); outcome.Record == nil || outcome.Refusal != nil {
			t.Errorf("%d: repeated, the outcome is %+v, %v", i, outcome, outcome.Refusal)
		}
	}
	s.accept(erasure(one, ""))
	// What was erased since is no longer its holder's.
	for i, want := range map[int]escrow.Code{0: escrow.CodePositionNotFound, 3: escrow.CodeKeyRestricted} {
		outcome := s.execute(under(s.request(commands[i]), fmt.Sprint(i), 1))
		if outcome.Record != nil || outcome.Refusal == nil || outcome.Refusal.Code != want {
			t.Errorf("%d: after the erasure the outcome is %+v, %v", i, outcome, outcome.Refusal)
		}
	}
}

// A refusal is repeated, too, though by now the item would pass the bound.
func TestARefusedItemIsToldWhateverWouldMoveNow(t *testing.T) {
	t.Parallel()
	s := openScene(t)
	id := s.has(s.a, "h", "USD", "200")
	s.actor = escrow.ActorKey(s.keyOf(escrow.KeyInput{Restrict: toAmounts("USD", "100")}))
	request := under(s.request(transitions(item(id, "RELEASED", "")).batch(false)), "release", 1)
	checkItems(t, s.execute(request), false, escrow.CodeInvalidTransition)
	s.actor = escrow.ActorRoot()
	s.accept(transition(id, "FUNDED", ""))
	if outcome := s.execute(request); outcome.Record == nil || outcome.Refusal != nil {
		t.Errorf("the outcome is %+v, %v", outcome, outcome.Refusal)
	}
}

func TestARestrictionTellsEveryFault(t *testing.T) {
	t.Parallel()
	template, asset := escrow.TemplateID{1}.String(), escrow.AssetID{1}.String()
	many := func(count int) *[]string {
		var texts []string
		for i := range count {
			texts = append(texts, fmt.Sprint("h", i))
		}
		return &texts
	}
	const count = "must have 1 to 30 elements, or be left out"
	for name, test := range map[string]struct {
		in   escrow.RestrictionInput
		want []string
	}{
		"everything": {escrow.RestrictionInput{
			TemplateIDs: &[]string{template}, AssetIDs: &[]string{asset}, HolderReferences: many(30), MaxAmount: map[string]money.Digits{"USD": "0", "jpy": "1.5"},
		}, nil},
		"nothing":          {escrow.RestrictionInput{}, []string{"restrict must restrict something, or be left out"}},
		"no amounts":       {escrow.RestrictionInput{MaxAmount: map[string]money.Digits{}}, []string{"restrict must restrict something, or be left out"}},
		"empty lists":      {escrow.RestrictionInput{TemplateIDs: &[]string{}, AssetIDs: &[]string{}, HolderReferences: &[]string{}}, []string{"restrict.templateIds " + count, "restrict.assetIds " + count, "restrict.holderReferences " + count}},
		"too many":         {escrow.RestrictionInput{HolderReferences: many(31)}, []string{"restrict.holderReferences " + count}},
		"other kinds":      {escrow.RestrictionInput{TemplateIDs: &[]string{asset}, AssetIDs: &[]string{""}}, []string{"restrict.templateIds must begin with \"tmpl_\"", "restrict.assetIds is required"}},
		"twice":            {escrow.RestrictionInput{TemplateIDs: &[]string{template, template}, HolderReferences: &[]string{"a", " a "}}, []string{"restrict.templateIds must not name \"" + template + "\" twice", `restrict.holderReferences must not name " a " twice`}},
		"no holder":        {escrow.RestrictionInput{HolderReferences: &[]string{" "}}, []string{"restrict.holderReferences is required"}},
		"currencies":       {escrow.RestrictionInput{MaxAmount: map[string]money.Digits{"USD": "1", "XXY": "1"}}, []string{"restrict.maxAmount.XXY must be an ISO 4217 currency code, like USD"}},
		"a currency twice": {escrow.RestrictionInput{MaxAmount: map[string]money.Digits{"USD": "1", "usd": "2"}}, []string{"restrict.maxAmount.usd must not name USD twice"}},
		"amounts":          {escrow.RestrictionInput{MaxAmount: map[string]money.Digits{"USD": "-1", "EUR": "1.00001"}}, []string{"restrict.maxAmount.EUR must have at most 4 decimals", "restrict.maxAmount.USD must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateKey(escrow.KeyInput{Label: "A", Role: "admin", Restrict: &test.in}, escrow.SecretHash{})
			checkFaults(t, faults, test.want...)
		})
	}
}

// claimed is one of few positions that there could be, with the amount of a step.
type claimed struct {
	template escrow.TemplateID
	asset    escrow.AssetID
	holder   string
	currency money.Code
	amount   int64
}

// claims is all of them: any asset could be of any template.
func claims() (all []claimed) {
	for template := range byte(3) {
		for asset := range byte(3) {
			for _, holder := range []string{"", "a", "b", "c"} {
				for _, currency := range []money.Code{"USD", "EUR", "JPY"} {
					for amount := range int64(4) {
						all = append(all, claimed{escrow.TemplateID{template}, escrow.AssetID{asset}, holder, currency, amount + 1})
					}
				}
			}
		}
	}
	return all
}

// allows is what a restriction is, once more: what is named must have the position's.
func allows(r escrow.Restriction, c claimed) bool {
	bound, bounded := r.MaxAmount[c.currency]
	return (r.TemplateIDs == nil || slices.Contains(r.TemplateIDs, c.template)) &&
		(r.AssetIDs == nil || slices.Contains(r.AssetIDs, c.asset)) &&
		(r.HolderReferences == nil || c.holder != "" && slices.Contains(r.HolderReferences, c.holder)) &&
		(r.MaxAmount == nil || bounded && c.amount <= int64(must(money.ParseAmount(bound.String(), money.Currency{}))))
}

// drawRestriction draws lists that never name all there is, as none does outside of a test.
func drawRestriction(t *rapid.T, label string) (r escrow.Restriction) {
	draw := func(part string) bool { return rapid.IntRange(0, 2).Draw(t, label+" has "+part) > 0 }
	some := func(part string) []byte {
		return rapid.SliceOfNDistinct(rapid.ByteRange(0, 2), 1, 2, rapid.ID[byte]).Draw(t, label+" "+part)
	}
	if draw("templates") {
		for _, n := range some("templates") {
			r.TemplateIDs = append(r.TemplateIDs, escrow.TemplateID{n})
		}
	}
	if draw("assets") {
		for _, n := range some("assets") {
			r.AssetIDs = append(r.AssetIDs, escrow.AssetID{n})
		}
	}
	if draw("holders") {
		for _, n := range some("holders") {
			r.HolderReferences = append(r.HolderReferences, string(rune('a'+n)))
		}
	}
	if draw("amounts") {
		r.MaxAmount = map[money.Code]money.Decimal{}
		for _, n := range some("currencies") {
			// Each allows something, or a bound would say less than the others do.
			r.MaxAmount[[]money.Code{"USD", "EUR", "JPY"}[n]] = money.WholeDecimal(rapid.Uint64Range(1, 4).Draw(t, label+" bound"))
		}
	}
	return r
}

// A restriction contains another exactly where everything that the other allows is allowed by it.
func TestContainingIsAllowingAllThatTheOtherDoes(t *testing.T) {
	t.Parallel()
	all := claims()
	contained := 0
	rapid.Check(t, func(t *rapid.T) {
		r, other := drawRestriction(t, "one"), drawRestriction(t, "the other")
		if rapid.Bool().Draw(t, "alike") {
			other.TemplateIDs, other.HolderReferences = r.TemplateIDs, r.HolderReferences
		}
		want := true
		for _, c := range all {
			position := escrow.Position{AssetID: c.asset, HolderReference: c.holder}
			if got := r.SeesPosition(position, c.template); got != allows(escrow.Restriction{TemplateIDs: r.TemplateIDs, AssetIDs: r.AssetIDs, HolderReferences: r.HolderReferences}, c) {
				t.Fatalf("%+v shows %+v: %t", r, c, got)
			}
			if got := r.SeesAsset(c.asset, c.template); got != allows(escrow.Restriction{TemplateIDs: r.TemplateIDs, AssetIDs: r.AssetIDs}, c) {
				t.Fatalf("%+v shows the asset of %+v: %t", r, c, got)
			}
			if got := r.SeesTemplate(c.template); got != allows(escrow.Restriction{TemplateIDs: r.TemplateIDs}, c) {
				t.Fatalf("%+v shows the template of %+v: %t", r, c, got)
			}
			want = want && (!allows(other, c) || allows(r, c))
		}
		if got := r.Contains(other); got != want {
			t.Fatalf("%+v contains %+v: %t", r, other, got)
		}
		if want {
			contained++
		}
		if !r.Contains(r) || !(escrow.Restriction{}).Contains(r) || r.Contains(escrow.Restriction{}) != r.IsZero() {
			t.Fatalf("%+v contains itself, nothing or all", r)
		}
		narrow := r.TemplateIDs != nil || r.AssetIDs != nil || r.HolderReferences != nil
		if r.IsNarrow() != narrow || r.IsZero() != (!narrow && r.MaxAmount == nil) {
			t.Fatalf("%+v is narrow: %t, and nothing: %t", r, r.IsNarrow(), r.IsZero())
		}
	})
	if contained == 0 {
		t.Error("no restriction contained another")
	}
}

// Bounds are compared as numbers, to the last decimal.
func TestABoundContainsLowerOnesInItsCurrency(t *testing.T) {
	t.Parallel()
	bounds := func(pairs ...string) (r escrow.Restriction) {
		for i := 0; i < len(pairs); i += 2 {
			if r.MaxAmount == nil {
				r.MaxAmount = map[money.Code]money.Decimal{}
			}
			r.MaxAmount[money.Code(pairs[i])] = must(money.ParseDecimal(pairs[i+1]))
		}
		return r
	}
	for _, test := range []struct {
		r, other escrow.Restriction
		want     bool
	}{
		{bounds("USD", "10"), bounds("USD", "10.0000"), true},
		{bounds("USD", "10"), bounds("USD", "9.9999"), true},
		{bounds("USD", "10"), bounds("USD", "10.0001"), false},
		{bounds("USD", "10", "EUR", "10"), bounds("EUR", "10"), true},
		{bounds("USD", "10"), bounds("USD", "1", "EUR", "0"), false},
		{bounds("USD", "10"), bounds(), false},
		{bounds(), bounds("USD", "10"), true},
	} {
		if got := test.r.Contains(test.other); got != test.want {
			t.Errorf("%v contains %v: %t", test.r.MaxAmount, test.other.MaxAmount, got)
		}
	}
}

// Filters leave out what is hidden, as far as a position tells it.
func TestAFilterWithinARestrictionMatchesWhatItShows(t *testing.T) {
	t.Parallel()
	p := escrow.Position{AssetID: escrow.AssetID{1}, HolderReference: "a"}
	for _, test := range []struct {
		within escrow.Restriction
		want   bool
	}{
		{escrow.Restriction{}, true},
		{escrow.Restriction{AssetIDs: []escrow.AssetID{{2}, {1}}}, true},
		{escrow.Restriction{AssetIDs: []escrow.AssetID{{2}}}, false},
		{escrow.Restriction{HolderReferences: []string{"b", "a"}}, true},
		{escrow.Restriction{HolderReferences: []string{"b"}}, false},
		{escrow.Restriction{TemplateIDs: []escrow.TemplateID{{2}}, MaxAmount: map[money.Code]money.Decimal{"EUR": {}}}, true},
	} {
		if got := (escrow.PositionFilter{Within: test.within}).Matches(p); got != test.want {
			t.Errorf("within %+v it matches: %t", test.within, got)
		}
	}
	erased := escrow.PositionFilter{Within: escrow.Restriction{HolderReferences: []string{"a", ""}}}
	if erased.Matches(escrow.Position{}) {
		t.Error("what was erased is listed for some holders")
	}
}
