package escrow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// meets returns the rules that a command would meet, and nothing where it would be carried out at once, or
// the code of its refusal.
func (b bank) meets(actor escrow.Actor, command escrow.Command) string {
	b.t.Helper()
	request := b.request(command)
	request.Actor, request.DryRun = actor, true
	outcome := b.execute(request)
	a, waits := outcome.Resource.(escrow.Approval)
	if !waits {
		return string(codeOf(outcome.Refusal))
	}
	var met []string
	for _, rule := range must(a.Asked()).Rules {
		met = append(met, string(rule.ID))
	}
	return strings.Join(met, " ")
}

// ruleOf is a rule on some permissions, for one approver, unless it is changed.
func ruleOf(id, on string, change ...func(*escrow.ApprovalRuleInput)) escrow.ApprovalRuleInput {
	in := escrow.ApprovalRuleInput{ID: id, On: strings.Fields(on), Require: approvers(1)}
	for _, do := range change {
		do(&in)
	}
	return in
}

// from narrows a rule to amounts like "USD 500".
func from(amounts ...string) func(*escrow.ApprovalRuleInput) {
	return func(in *escrow.ApprovalRuleInput) {
		in.When.AmountFrom = map[string]money.Digits{}
		for _, amount := range amounts {
			code, digits, _ := strings.Cut(amount, " ")
			in.When.AmountFrom[code] = money.Digits(digits)
		}
	}
}

func within(window, scope string) func(*escrow.ApprovalRuleInput) {
	return func(in *escrow.ApprovalRuleInput) { in.When.Window, in.When.WindowScope = &window, &scope }
}

func exempts(in *escrow.ApprovalRuleInput) { in.Require = []escrow.RequirementInput{} }

// released asks to release amounts of positions in one batch.
func released(amounts map[escrow.PositionID]string) escrow.PositionBatch {
	var items []escrow.TransitionItem
	for id, amount := range amounts {
		items = append(items, escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{
			ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits(amount)),
		}})
	}
	return transitions(items...).batch(false)
}

func TestTheFirstRuleThatIsAboutACommandDecides(t *testing.T) {
	t.Parallel()
	const release, cancel, create = "positions.release", "positions.cancel", "positions.create"
	type places struct {
		b                     bank
		dollars, others, yens escrow.PositionID // of 1000 USD, of 1000 USD on another asset in SG, of 100000 JPY
		asset, other          escrow.AssetID
		inSG                  escrow.TemplateID
	}
	part := func(id escrow.PositionID, amount string) escrow.Command {
		return transition(id, "PARTIALLY_RELEASED", amount)
	}
	for _, test := range []struct {
		name    string
		rules   func(places) []escrow.ApprovalRuleInput
		command func(places) escrow.Command
		want    string
	}{
		{
			"another permission", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", cancel+" "+create)) },
			func(p places) escrow.Command { return part(p.dollars, "1") }, "",
		},
		{
			"below an amount", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command { return part(p.dollars, "499.99") }, "",
		},
		{
			"from an amount", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command { return part(p.dollars, "500") }, "a",
		},
		{
			"the whole of what is held", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 1000"))) },
			func(p places) escrow.Command { return transition(p.dollars, "RELEASED", "") }, "a",
		},
		{
			"what is refunded", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", cancel, from("USD 1000"))) },
			func(p places) escrow.Command { return transition(p.dollars, "CANCELLED", "") }, "a",
		},
		{
			"what is created", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", create, from("USD 7"))) },
			func(p places) escrow.Command { return newPosition(p.asset, "7", "USD", nil) }, "a",
		},
		{
			"a currency of several", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release, from("USD 5000", "JPY 500")))
			},
			func(p places) escrow.Command { return part(p.yens, "500") }, "a",
		},
		{
			"a currency of none", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("EUR 1"))) },
			func(p places) escrow.Command { return transition(p.dollars, "RELEASED", "") }, "",
		},
		{
			"the first of two", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release, from("USD 900")), ruleOf("b", release, from("USD 100")), ruleOf("c", release))
			},
			func(p places) escrow.Command { return part(p.dollars, "500") }, "b",
		},
		{
			"an exemption above", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("big", release, from("USD 900")), ruleOf("free", release, exempts), ruleOf("all", release))
			},
			func(p places) escrow.Command { return part(p.dollars, "500") }, "",
		},
		{
			"an exemption below", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("big", release, from("USD 900")), ruleOf("free", release, exempts), ruleOf("all", release))
			},
			func(p places) escrow.Command { return part(p.dollars, "900") }, "big",
		},
		{
			"an asset", func(p places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release, func(in *escrow.ApprovalRuleInput) { in.When.AssetID = new(p.other.String()) }))
			},
			func(p places) escrow.Command { return part(p.dollars, "1") }, "",
		},
		{
			"that asset", func(p places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release, func(in *escrow.ApprovalRuleInput) { in.When.AssetID = new(p.other.String()) }))
			},
			func(p places) escrow.Command { return part(p.others, "1") }, "a",
		},
		{
			"a template", func(p places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", create, func(in *escrow.ApprovalRuleInput) { in.When.TemplateID = new(p.inSG.String()) }))
			},
			func(p places) escrow.Command { return newPosition(p.other, "1", "USD", nil) }, "a",
		},
		{
			"another template", func(p places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", create, func(in *escrow.ApprovalRuleInput) { in.When.TemplateID = new(p.inSG.String()) }))
			},
			func(p places) escrow.Command { return newPosition(p.asset, "1", "USD", nil) }, "",
		},
		{
			"a region", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release+" policies.set", func(in *escrow.ApprovalRuleInput) { in.When.Region = new("SG") }))
			},
			func(p places) escrow.Command { return part(p.others, "1") }, "a",
		},
		{
			"the region of a policy", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release+" policies.set", func(in *escrow.ApprovalRuleInput) { in.When.Region = new("SG") }))
			},
			func(places) escrow.Command { return valid(escrow.NewSetPolicy("SG", rules("1", ""))) }, "a",
		},
		{
			"another region", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release+" policies.set", func(in *escrow.ApprovalRuleInput) { in.When.Region = new("SG") }))
			},
			func(places) escrow.Command { return valid(escrow.NewSetPolicy("US", rules("1", ""))) }, "",
		},
		{
			"a batch of small ones is a large one", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command {
				return released(map[escrow.PositionID]string{p.dollars: "250", p.others: "250"})
			}, "a",
		},
		{
			"but not of two currencies", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("a", release, from("USD 500", "JPY 500")))
			},
			func(p places) escrow.Command {
				return released(map[escrow.PositionID]string{p.dollars: "499", p.yens: "499"})
			}, "",
		},
		{
			"a batch meets the rules of all items", func(p places) []escrow.ApprovalRuleInput {
				return list(
					ruleOf("other", release, func(in *escrow.ApprovalRuleInput) { in.When.AssetID = new(p.other.String()) }),
					ruleOf("yen", release, from("JPY 1")), ruleOf("again", release, from("JPY 1")),
					ruleOf("free", release, exempts), ruleOf("never", release),
				)
			},
			func(p places) escrow.Command {
				return released(map[escrow.PositionID]string{p.dollars: "1", p.others: "1", p.yens: "1"})
			}, "other yen",
		},
		{
			"a rule of one currency takes no other with it", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("free", release, from("JPY 1"), exempts), ruleOf("dollars", release, from("USD 500")))
			},
			func(p places) escrow.Command {
				return released(map[escrow.PositionID]string{p.dollars: "500", p.yens: "1"})
			}, "dollars",
		},
		{
			"nor one that it does not reach", func(places) []escrow.ApprovalRuleInput {
				return list(ruleOf("free", release, from("JPY 1", "USD 900"), exempts), ruleOf("dollars", release, from("USD 500")))
			},
			func(p places) escrow.Command {
				return released(map[escrow.PositionID]string{p.dollars: "500", p.yens: "1"})
			}, "dollars",
		},
		{
			"parts of one position in a batch", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command { return transitions(twice(p.dollars, "250")...).batch(false) }, "a",
		},
		{
			"what a batch funds and releases", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command {
				id := p.b.position(p.asset, "500", "USD").String()
				return transitions(
					escrow.TransitionItem{PositionID: id, TransitionInput: escrow.TransitionInput{ToState: "FUNDED"}},
					escrow.TransitionItem{PositionID: id, TransitionInput: escrow.TransitionInput{ToState: "RELEASED"}},
				).batch(true)
			}, "a",
		},
		{
			"an item that would be refused hides nothing", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release, from("USD 500"))) },
			func(p places) escrow.Command {
				return transitions(
					escrow.TransitionItem{PositionID: p.dollars.String(), IfVersion: new(int64(9)), TransitionInput: escrow.TransitionInput{ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("999.99"))}},
					escrow.TransitionItem{PositionID: p.dollars.String(), TransitionInput: escrow.TransitionInput{ToState: "RELEASED"}},
				).batch(false)
			}, "batch_refused",
		},
		{
			"erasures", func(places) []escrow.ApprovalRuleInput { return list(ruleOf("a", release)) },
			func(p places) escrow.Command { return escrow.NewErasureBatch([]escrow.PositionID{p.dollars}, 0) }, "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := places{b: openBank(t, []escrow.ApprovalRuleInput{}...)}
			b := p.b
			p.asset, p.dollars = b.asset, b.funded("1000")
			p.inSG = b.templateIn("SG", escrow.ConstructionEscrow, `{"currency":"USD"}`)
			p.other = b.desk.asset(p.inSG)
			p.others = b.position(p.other, "1000", "USD")
			p.yens = b.position(b.desk.asset(b.template(escrow.ConstructionEscrow, `{"currency":"JPY"}`)), "100000", "JPY")
			b.accept(transition(p.others, "FUNDED", ""))
			b.accept(transition(p.yens, "FUNDED", ""))
			b.accept(valid(escrow.NewSetApprovalRules(test.rules(p), nil)))
			if got := b.meets(b.eve, test.command(p)); got != test.want {
				t.Errorf("it meets %q, want %q", got, test.want)
			}
			b.checkReplay()
		})
	}
}

func list(rules ...escrow.ApprovalRuleInput) []escrow.ApprovalRuleInput { return rules }

func twice(id escrow.PositionID, amount string) []escrow.TransitionItem {
	item := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits(amount)),
	}}
	return []escrow.TransitionItem{item, item}
}

// Ten small releases are one large one, whoever's key was rotated between them.
func TestAWindowAddsUpWhatWasMoved(t *testing.T) {
	t.Parallel()
	hour, minute := time.Hour, time.Minute
	for _, test := range []struct {
		name  string
		scope string
		rule  string
		moves func(b bank, part func(escrow.Actor, time.Duration, string))
		by    func(b bank) escrow.Actor
		after time.Duration
		want  string
	}{
		{"within it", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "400") }, nil, 24 * hour, "w"},
		{"the hour in which it begins counts whole", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "400") }, nil, 24*hour + 59*minute, "w"},
		{"before it", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "400") }, nil, 25 * hour, ""},
		{"of several hours", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) {
			part(b.maker, 0, "200")
			part(b.maker, hour, "100")
			part(b.maker, hour, "50")
			part(b.maker, 3*hour, "50")
		}, nil, 23 * hour, "w"},
		{"less than it takes", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "399.99") }, nil, hour, ""},
		{"of another actor", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.eve, 0, "400") }, nil, hour, ""},
		{"of the institution", "institution", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.eve, 0, "400") }, nil, hour, "w"},
		{"of what the rule is not about", "institution", "positions.cancel positions.fund", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "400") }, nil, hour, ""},
		{"of the key that it was rotated from", "actor", "positions.release", func(b bank, part func(escrow.Actor, time.Duration, string)) { part(b.maker, 0, "400") }, func(b bank) escrow.Actor {
			once := subjectID[escrow.KeyID](b.accept(newRotation(b.maker.Key, hour)))
			return escrow.ActorKey(subjectID[escrow.KeyID](b.accept(newRotation(once, hour))))
		}, hour, "w"},
		{"of the operator", "actor", "positions.release", func(_ bank, part func(escrow.Actor, time.Duration, string)) { part(escrow.ActorRoot(), 0, "400") }, func(bank) escrow.Actor { return escrow.ActorRoot() }, hour, "w"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := openBank(t, []escrow.ApprovalRuleInput{}...)
			position := b.funded("1000")
			b.accept(valid(escrow.NewSetApprovalRules(list(ruleOf("w", test.rule, from("USD 500"), within("24h", test.scope))), nil)))
			b.now = opening().Add(24 * hour)
			start := b.now
			test.moves(b, func(actor escrow.Actor, after time.Duration, amount string) {
				b.desk.now = start.Add(after)
				b.wantRefused(actor, transition(position, "PARTIALLY_RELEASED", amount), "")
			})
			b.desk.now = start.Add(test.after)
			actor := b.maker
			if test.by != nil {
				actor = test.by(b)
			}
			if got := b.meets(actor, transition(position, "PARTIALLY_RELEASED", "100")); !strings.Contains(test.rule, "release") && got != "" || got != test.want {
				t.Errorf("it meets %q, want %q", got, test.want)
			}
			b.checkReplay()
		})
	}
}

// What is moved in a window adds to what is moved, and not to nothing.
func TestWhatMovesNothingIsNotMadeLargeByAWindow(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("w", "positions.cancel", from("USD 500"), within("24h", "institution")))
	b.breakGlass(transition(b.funded("600"), "CANCELLED", ""))
	if got := b.meets(b.maker, transition(b.position(b.asset, "5", "USD"), "CANCELLED", "")); got != "" {
		t.Errorf("what moves nothing meets %q", got)
	}
	if got := b.meets(b.maker, transition(b.funded("5"), "CANCELLED", "")); got != "w" {
		t.Errorf("what moves something meets %q", got)
	}
}

// What no window reaches is forgotten, and what is kept adds up.
func TestMovesAreKeptForAWeek(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("w", "positions.cancel", from("USD 500"), within("168h", "actor")))
	position := b.funded("1000")
	for day := range 20 {
		b.desk.now = opening().Add(time.Duration(day) * 24 * time.Hour)
		for range 2 {
			b.wantRefused(b.maker, transition(position, "PARTIALLY_RELEASED", "0.50"), "")
		}
	}
	moves, _ := b.books.Moves.Get(b.maker.String())
	var amounts []string
	for _, hour := range moves.Hours {
		amounts = append(amounts, hour.Amount)
	}
	if got, want := fmt.Sprint(amounts), "[1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00]"; got != want {
		t.Errorf("the hours have %s, want %s", got, want)
	}
	b.checkReplay()
}

// Where no rule has a window, nobody's moves are kept.
func TestMovesAreKeptForWindowsAlone(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("a", "positions.release", from("USD 500")))
	position := b.funded("1000")
	b.wantRefused(b.maker, transition(position, "PARTIALLY_RELEASED", "1"), "")
	if b.books.Moves.Len() != 0 {
		t.Errorf("%d moves are kept", b.books.Moves.Len())
	}
}

// A journal that is copied in parts keeps the moves of keys that were rotated, before its parts and in them.
func TestMovesGoOnInPartsOfAJournal(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("w", "positions.release", from("USD 900"), within("24h", "actor")))
	position := b.funded("1000")
	part := func(actor escrow.Actor) {
		b.wantRefused(actor, transition(position, "PARTIALLY_RELEASED", "1"), "")
	}
	actor := b.maker
	for range 3 {
		part(actor)
		part(actor)
		actor = escrow.ActorKey(subjectID[escrow.KeyID](b.accept(newRotation(actor.Key, time.Hour))))
		part(b.eve)
	}
	part(actor)
	b.wantRefused(escrow.ActorRoot(), transition(position, "RELEASED", ""), "")
	if moves, _ := b.books.Moves.Get(b.maker.String()); len(moves.Hours) != 1 || moves.Hours[0].Amount != "7.00" {
		t.Errorf("the moves are %+v", moves)
	}
	for cut := range b.books.Entries {
		goOn(t, b.books.Entries, cut)
	}
}

// What is read of a request's rules at once is enough where none of them is met.
func TestARequestUnderRulesThatItDoesNotMeetIsCarriedOutAtOnce(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("w", "positions.release", from("USD 900"), within("24h", "actor")))
	position := b.funded("1000")
	for _, command := range []escrow.Command{
		transition(position, "PARTIALLY_RELEASED", "1"), newPosition(b.asset, "1", "USD", nil), setRole("clerk"), policy("1"),
		valid(escrow.NewUpdateKey(b.maker.Key, new("A"), nil)),
		escrow.RevokeKey{Key: b.maker.Key},
		valid(escrow.NewUpdateAsset(b.asset, escrow.AssetChange{Label: new("A")}, nil)),
		escrow.CloseAsset{Asset: b.asset},
		escrow.RestoreUser{User: escrow.UserID{1}},
		valid(escrow.NewUpdateTemplate(escrow.TemplateID{1}, new("A"), nil)),
		escrow.CloseTemplate{Template: escrow.TemplateID{1}},
		newRotation(b.eve.Key, 0),
	} {
		request := b.request(command)
		request.Actor, request.Hint, request.DryRun = b.eve, b.books.RulesHint(), true
		outcome, err := rowsFor(b.books, request.Needs()).Execute(request, b.stamp())
		if err != nil || outcome.Lacks != nil {
			t.Errorf("%T: it lacks %+v, %v", command, outcome.Lacks, err)
		}
		request.Hint = escrow.RulesHint{}
		if outcome, err = rowsFor(b.books, request.Needs()).Execute(request, b.stamp()); err != nil || outcome.Lacks == nil || !outcome.Lacks.Rules {
			t.Errorf("%T: without the hint it lacks %+v, %v", command, outcome.Lacks, err)
		}
	}
}

// A row that is damaged lets nobody evade a rule, and amounts that are too large to add are large.
func TestMovesThatCannotBeReadCountAsLarge(t *testing.T) {
	t.Parallel()
	for _, amount := range []string{"x", "92233720368547758.07", "1.00"} {
		b := openBank(t, ruleOf("w", "positions.release", from("USD 900"), within("24h", "actor")))
		position := b.funded("1000")
		b.books.Moves.Put(b.maker.String(), escrow.RecentMoves{InstitutionID: b.books.InstitutionID(), Of: b.maker.String(), Hours: []escrow.HourMoves{
			{Hour: b.now.Unix() / 3600, Permission: "positions.release", Currency: "USD", Amount: amount},
		}})
		want := map[bool]string{true: "", false: "w"}[amount == "1.00"]
		if got := b.meets(b.maker, transition(position, "PARTIALLY_RELEASED", "1")); got != want {
			t.Errorf("beside %s it meets %q, want %q", amount, got, want)
		}
	}
}

// Rows that contradict themselves are an error, not a refusal, and so wherever they are met.
func TestContradictoryRowsUnderARuleAreAnError(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]escrow.ApprovalRuleInput{
		"asked": ruleOf("a", "positions.release"), "free": ruleOf("a", "positions.release", exempts),
	} {
		for _, dry := range []bool{true, false} {
			for _, glass := range []string{"", "Fire"} {
				b := openBank(t, rule)
				id := escrow.PositionID{1}
				b.books.Positions.Load(id, escrow.Position{ID: id, AssetID: b.asset, Currency: usd, Amount: 100, Funded: 100, Held: 90, State: "FUNDED", Version: 2})
				item := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{ToState: "RELEASED"}}
				for _, command := range []escrow.Command{transition(id, "RELEASED", ""), transitions(item, item).batch(false)} {
					request := b.request(command)
					request.DryRun, request.BreakGlass = dry, glass
					for outcome := (escrow.Outcome{Lacks: &escrow.Needs{}}); outcome.Lacks != nil; {
						var err error
						request = request.With(*outcome.Lacks)
						if outcome, err = b.books.Execute(request, b.stamp()); err == nil && outcome.Lacks == nil {
							t.Errorf("%s, dry: %t: %T became %+v, %v", name, dry, command, outcome.Resource, outcome.Refusal)
						}
					}
				}
			}
		}
	}
}
