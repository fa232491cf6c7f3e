package escrow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

func TestNewSetApprovalRulesTellsEveryFault(t *testing.T) {
	t.Parallel()
	on := []string{"positions.release"}
	rule := func(change func(*escrow.ApprovalRuleInput)) []escrow.ApprovalRuleInput {
		in := escrow.ApprovalRuleInput{ID: "a", On: on, Require: approvers(1)}
		change(&in)
		return []escrow.ApprovalRuleInput{in}
	}
	when := func(on []string, when escrow.RuleConditionsInput) []escrow.ApprovalRuleInput {
		return rule(func(in *escrow.ApprovalRuleInput) { in.On, in.When = on, when })
	}
	from := map[string]money.Digits{"USD": "1"}
	for _, test := range []struct {
		name string
		in   []escrow.ApprovalRuleInput
		want []string
	}{
		{"none", nil, nil},
		{"the least", rule(func(*escrow.ApprovalRuleInput) {}), nil},
		{"one that exempts", rule(func(in *escrow.ApprovalRuleInput) { in.Require = []escrow.RequirementInput{} }), nil},
		{"too many", slices.Repeat(rule(func(*escrow.ApprovalRuleInput) {}), 51), []string{"rules must have at most 50 elements"}},
		{"nothing", []escrow.ApprovalRuleInput{{}}, []string{
			"rules[0].id must be 1 to 63 small letters, digits, hyphens and underscores, beginning with a letter",
			"rules[0].on must have at least one element",
			"rules[0].require is required; empty, the commands are carried out at once",
		}},
		{"one id twice", slices.Repeat(rule(func(*escrow.ApprovalRuleInput) {}), 2), []string{"rules[1].id must not be that of another rule"}},
		{"a permission twice", when([]string{"roles.manage", "roles.manage"}, escrow.RuleConditionsInput{}), []string{"rules[0].on must not name roles.manage twice"}},
		{"what takes no approval", when([]string{"positions.erase"}, escrow.RuleConditionsInput{}), []string{"rules[0].on must be one of " + strings.Join(ruledNames(), ", ")}},
		{"too many roles", rule(func(in *escrow.ApprovalRuleInput) { in.Require = slices.Repeat(approvers(1), 6) }), []string{"rules[0].require must have at most 5 elements"}},
		{"a role twice", rule(func(in *escrow.ApprovalRuleInput) { in.Require = slices.Repeat(approvers(1), 2) }), []string{"rules[0].require must not name the role approver twice"}},
		{"nobody", rule(func(in *escrow.ApprovalRuleInput) { in.Require = approvers(0) }), []string{"rules[0].require[0].count must be from 1 to 10"}},
		{"a crowd", rule(func(in *escrow.ApprovalRuleInput) { in.Require = approvers(11) }), []string{"rules[0].require[0].count must be from 1 to 10"}},
		{"no role", rule(func(in *escrow.ApprovalRuleInput) { in.Require = []escrow.RequirementInput{{Role: "A", Count: 1}} }), []string{"rules[0].require[0].role must be 1 to 63 small letters, digits and underscores, beginning with a letter"}},
		{"days", rule(func(in *escrow.ApprovalRuleInput) { in.ExpiresIn = new("3d") }), []string{"rules[0].expiresIn must be a number of hours from 1h to 2160h"}},
		{"no time", rule(func(in *escrow.ApprovalRuleInput) { in.ExpiresIn = new("0h") }), []string{"rules[0].expiresIn must be a number of hours from 1h to 2160h"}},
		{"too long a time", rule(func(in *escrow.ApprovalRuleInput) { in.ExpiresIn = new("2161h") }), []string{"rules[0].expiresIn must be a number of hours from 1h to 2160h"}},
		{"no ids", when(on, escrow.RuleConditionsInput{TemplateID: new("x"), AssetID: new("")}), []string{
			"rules[0].when.templateId must begin with \"tmpl_\"", "rules[0].when.assetId is required",
		}},
		{"no region", when(on, escrow.RuleConditionsInput{Region: new("XX")}), []string{"rules[0].when.region must be one of US, EU_UK, SG, UAE"}},
		{"no currency", when(on, escrow.RuleConditionsInput{AmountFrom: map[string]money.Digits{}}), []string{"rules[0].when.amountFrom must name at least one currency, or be left out"}},
		{"a window of no amount", when(on, escrow.RuleConditionsInput{Window: new("1h")}), []string{"rules[0].when.window takes amountFrom: it adds to the amount"}},
		{"too long a window", when(on, escrow.RuleConditionsInput{AmountFrom: from, Window: new("169h")}), []string{"rules[0].when.window must be a number of hours from 1h to 168h"}},
		{"a scope of no window", when(on, escrow.RuleConditionsInput{AmountFrom: from, WindowScope: new("actor")}), []string{"rules[0].when.windowScope takes a window"}},
		{"another scope", when(on, escrow.RuleConditionsInput{AmountFrom: from, Window: new("1h"), WindowScope: new("world")}), []string{"rules[0].when.windowScope must be one of actor, institution"}},
		{"an amount of what has none", when([]string{"positions.release", "policies.set"}, escrow.RuleConditionsInput{AmountFrom: from}), []string{"rules[0].when.amountFrom is not for policies.set, which has none"}},
		{"a window of what moves nothing", when([]string{"positions.create"}, escrow.RuleConditionsInput{AmountFrom: from, Window: new("1h")}), []string{"rules[0].when.window is not for positions.create, which has none"}},
		{"an asset of what has none", when([]string{"policies.set"}, escrow.RuleConditionsInput{Region: new("US"), AssetID: new(escrow.AssetID{1}.String())}), []string{"rules[0].when.assetId is not for policies.set, which has none"}},
		{"a template of what has none", when([]string{"roles.manage"}, escrow.RuleConditionsInput{TemplateID: new(escrow.TemplateID{1}.String())}), []string{"rules[0].when.templateId is not for roles.manage, which has none"}},
		{"a region of what has none", when([]string{"keys.manage"}, escrow.RuleConditionsInput{Region: new("US")}), []string{"rules[0].when.region is not for keys.manage, which has none"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewSetApprovalRules(test.in, nil)
			checkFaults(t, faults, test.want...)
		})
	}
}

func ruledNames() (texts []string) {
	for _, permission := range escrow.RuledPermissions() {
		texts = append(texts, string(permission))
	}
	return texts
}

// Each command waits where its permission is under a rule, but for those that end something at once.
func TestEachCommandOfARuledPermissionWaitsOrEndsSomething(t *testing.T) {
	t.Parallel()
	ends := []string{"RevokeKey", "SuspendUser", "RemoveIdentityProvider"}
	for _, known := range takenByCommands() {
		ruled := slices.Contains(escrow.RuledPermissions(), known.takes)
		waits := escrow.CanWait(known.command)
		if want := ruled && !slices.Contains(ends, typeName(known.command)); waits != want {
			t.Errorf("%s, which takes %s, waits: %t, want %t", typeName(known.command), known.takes, waits, want)
		}
	}
}

// Rules that nobody could fulfil would lock an institution.
func TestRulesThatNobodyCouldFulfilAreRefused(t *testing.T) {
	t.Parallel()
	require := func(pairs ...any) (list []escrow.RequirementInput) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, escrow.RequirementInput{Role: pairs[i].(string), Count: int64(pairs[i+1].(int))})
		}
		return list
	}
	for _, test := range []struct {
		name    string
		require []escrow.RequirementInput
		code    escrow.Code
		says    string
	}{
		{"as many as there are", require("approver", 2, "compliance", 1), "", ""},
		{"one too many", require("approver", 3), "approvers_too_few", "approver (1)"},
		{"a role of groups has any number", require("treasury", 9), "", ""},
		{"no role", require("nobody", 1), "invalid_input", "rules[0].require[0].role must be one of admin"},
		{"a role that may not approve", require("operator", 1), "invalid_input", "must be a role with the permission approvals.decide"},
		{"an own role that may not", require("clerk", 1), "invalid_input", "must be a role with the permission approvals.decide"},
		{"one person with two keys of a role is one", require("signer", 2), "approvers_too_few", "signer (1)"},
		{"one person with two roles is one", require("compliance", 1, "officer", 1), "approvers_too_few", "officer (1)"},
		{"keys of nobody by one maker are one", require("robot", 2), "approvers_too_few", "robot (1)"},
		{"restricted keys approve nothing", require("narrow", 1), "approvers_too_few", "narrow (1)"},
		{"revoked and expired ones neither", require("gone", 1), "approvers_too_few", "gone (1)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := openBank(t, []escrow.ApprovalRuleInput{}...)
			for _, role := range []string{"signer", "officer", "robot", "narrow", "gone", "treasury"} {
				b.accept(setRole(role, "approvals.decide", "approvals.read"))
			}
			b.accept(setRole("clerk", "positions.read"))
			b.accept(valid(escrow.NewSetIdentityProvider(providerInput(map[string]string{"t": "treasury"}), nil)).WithSealed([]byte("s"), "k"))
			b.keyOf("signer", "Sue")
			b.keyOf("signer", " sue ")
			b.keyOf("officer", "CAT")
			for range 2 {
				b.keyBy(b.eve, "robot", "")
			}
			b.restricted("narrow", "Nat")
			gone := b.keyOf("gone", "Gus")
			b.accept(escrow.RevokeKey{Key: gone.Key})

			command := valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{{ID: "a", On: []string{"policies.set"}, Require: test.require}}, nil))
			outcome := b.execute(b.request(command))
			if codeOf(outcome.Refusal) != test.code || test.code != "" && !strings.Contains(outcome.Refusal.Detail, test.says) {
				t.Errorf("%v, want %q with %q", outcome.Refusal, test.code, test.says)
			}
			b.checkReplay()
		})
	}
}

// A rule about what is not there would never be met, and nobody would notice.
func TestRulesAboutWhatIsNotThereAreRefused(t *testing.T) {
	t.Parallel()
	const templateID, assetID, region = "rules[0].when.templateId", "rules[0].when.assetId", "rules[0].when.region"
	for _, test := range []struct {
		name string
		// when is about an asset of the template, or another one of another template.
		when func(template, asset, another string) escrow.RuleConditionsInput
		want string
	}{
		{"all that there is", func(template, asset, _ string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{TemplateID: &template, AssetID: &asset, Region: new("US")}
		}, ""},
		{"an asset in its region", func(_, asset, _ string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{AssetID: &asset, Region: new("US")}
		}, ""},
		{"no template", func(string, string, string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{TemplateID: new(escrow.TemplateID{1}.String())}
		}, templateID + " must be an asset template of the institution"},
		{"no asset", func(string, string, string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{AssetID: new(escrow.AssetID{1}.String())}
		}, assetID + " must be an asset of the institution"},
		{"an asset of another template", func(template, _, another string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{TemplateID: &template, AssetID: &another}
		}, assetID + " must be of the rule's template, and not of tmpl_"},
		{"a template in another region", func(template, _, _ string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{TemplateID: &template, Region: new("SG")}
		}, region + " must be that of what the rule is about, US"},
		{"an asset in another region", func(_, asset, _ string) escrow.RuleConditionsInput {
			return escrow.RuleConditionsInput{AssetID: &asset, Region: new("SG")}
		}, region + " must be that of what the rule is about, US"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := openBank(t, []escrow.ApprovalRuleInput{}...)
			template := b.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
			when := test.when(template.String(), b.desk.asset(template).String(), b.asset.String())
			rule := escrow.ApprovalRuleInput{ID: "a", On: []string{"positions.release"}, Require: approvers(1), When: when}
			refusal := b.execute(b.request(valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{rule}, nil)))).Refusal
			if (refusal == nil) != (test.want == "") || refusal != nil && (refusal.Code != "invalid_input" || !strings.Contains(refusal.Detail, test.want)) {
				t.Errorf("%v, want %q", refusal, test.want)
			}
		})
	}
}

func TestApprovalRulesHaveVersions(t *testing.T) {
	t.Parallel()
	b := openBank(t, []escrow.ApprovalRuleInput{}...)
	rules := func(count int64, ifVersion ...int64) escrow.SetApprovalRules {
		in := []escrow.ApprovalRuleInput{{ID: "a", On: []string{"policies.set"}, Require: approvers(count), ExpiresIn: new("5h")}}
		return valid(escrow.NewSetApprovalRules(in, ifVersion))
	}
	b.refuse(rules(1, 1), "version_mismatch")
	b.now = b.now.Add(time.Hour)
	first := b.accept(rules(1, 0))
	want := escrow.ApprovalRules{
		InstitutionID: b.books.InstitutionID(), Version: 1, CreatedAt: b.now, UpdatedAt: b.now,
		Rules: []escrow.ApprovalRule{{
			ID: "a", On: []escrow.Permission{"policies.set"}, ExpiresIn: escrow.Hours(5 * time.Hour),
			Require: []escrow.RuleRequirement{{Role: "approver", Count: 1}},
		}},
	}
	if diff := cmp.Diff(escrow.Resource(want), first.Resource, exactly()); diff != "" || first.Subject != "approval-rules" {
		t.Errorf("rules wanted (-) and set (+) of %s:\n%s", first.Subject, diff)
	}
	if b.books.Head.Rules != first.Sequence {
		t.Errorf("the head is %+v", b.books.Head)
	}

	b.now = b.now.Add(time.Hour)
	again := b.accept(rules(1, 1))
	if diff := cmp.Diff(escrow.Resource(want), again.Resource, exactly()); diff != "" || b.books.Head.Sequence != first.Sequence {
		t.Errorf("set again, the rules are (+):\n%s", diff)
	}
	b.accept(rules(2, 1))
	want.Version, want.UpdatedAt, want.Rules[0].Require[0].Count = 2, b.now, 2
	if got, _ := b.books.Rules.Get(b.books.InstitutionID()); cmp.Diff(want, got, exactly()) != "" {
		t.Errorf("the rules are %+v, want %+v", got, want)
	}
	b.accept(valid(escrow.NewSetApprovalRules(nil, nil)))
	if b.books.Head.Rules != 0 {
		t.Errorf("without rules, the head is %+v", b.books.Head)
	}
	b.checkReplay()
}

// Who could set the rules alone could do alone all that they are about.
func TestRulesAreSetUnderTheRulesInForce(t *testing.T) {
	t.Parallel()
	b := openBank(t, escrow.ApprovalRuleInput{ID: "rules", On: []string{"approval_rules.set"}, Require: approvers(2)})
	none := valid(escrow.NewSetApprovalRules(nil, nil))
	a := b.ask(b.eve, none)
	if b.books.Head.Rules == 0 || a.Status != "PENDING" {
		t.Fatalf("the head is %+v, the approval %s", b.books.Head, a.Status)
	}
	b.wantRefused(b.eve, none, "approval_pending")
	b.approved(b.ann, a)
	if a = b.approved(b.bob, a); a.Status != "EXECUTED" || b.books.Head.Rules != 0 {
		t.Errorf("the approval is %s, the head %+v", a.Status, b.books.Head)
	}
	b.checkReplay()
}

func TestHoursAreWrittenInOneWay(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"1h": true, "72h": true, "": false, "01h": false, "1h0m": false, "1.5h": false, "99999h": true, "100000h": false, "-1h": false} {
		var span escrow.Hours
		err := span.UnmarshalText([]byte(text))
		if (err == nil) != ok || ok && span.String() != text {
			t.Errorf("%q is read as %s, %v", text, span, err)
		}
	}
}
