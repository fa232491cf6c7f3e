package escrow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// newKey makes the command that makes a key.
func newKey(in escrow.KeyInput) escrow.CreateKey {
	in.Label = "A key"
	return valid(escrow.NewCreateKey(in, escrow.SecretHash{9}))
}

// Nobody gives what they do not have: neither in a role nor in a key, of whatever form.
func TestNobodyGivesWhatTheyDoNotHave(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("giver", "keys.manage", "roles.manage", "positions.read", "assets.read"))
	d.accept(setRole("weak", "positions.read"))
	d.accept(setRole("equal", "keys.manage", "roles.manage", "positions.read", "assets.read"))
	d.accept(setRole("strong", "positions.read", "positions.fund", "policies.set"))
	weak := d.keyOf(escrow.KeyInput{Role: "weak"})
	equal := d.keyOf(escrow.KeyInput{Permissions: new(names("keys.manage", "roles.manage", "positions.read", "assets.read"))})
	strong := d.keyOf(escrow.KeyInput{Role: "strong"})
	listed := d.keyOf(escrow.KeyInput{Permissions: new(names("positions.read", "positions.fund"))})
	admin := d.keyOf(escrow.KeyInput{})

	giver := escrow.ActorKey(d.keyOf(escrow.KeyInput{Role: "giver"}))
	const lacks = "Nobody gives what they do not have; this takes "
	for _, test := range []struct {
		name    string
		command escrow.Command
		detail  string // of the refusal, without which it is accepted
	}{
		{"a role with less", setRole("new", "positions.read"), ""},
		{"a role with nothing", setRole("new_too"), ""},
		{"a role with the same", setRole("same", "keys.manage", "roles.manage", "positions.read", "assets.read"), ""},
		{"a role with one more", setRole("more", "positions.read", "proofs.read"), lacks + "proofs.read."},
		{"its own role with more", setRole("giver", "keys.manage", "roles.manage", "policies.set"), lacks + "policies.set."},
		{"what another role has already", setRole("strong", "positions.read", "positions.fund", "policies.set"), lacks + "policies.set, positions.fund."},
		{"a stronger role with less than that", setRole("strong", "positions.fund"), lacks + "positions.fund."},
		{"a key with a list of less", newKey(escrow.KeyInput{Permissions: new(names("assets.read"))}), ""},
		{"a key with a list of one more", newKey(escrow.KeyInput{Permissions: new(names("assets.read", "assets.update"))}), lacks + "assets.update."},
		{"a key of a weaker role", newKey(escrow.KeyInput{Role: "weak"}), ""},
		{"a key of its own role", newKey(escrow.KeyInput{Role: "giver"}), ""},
		{"a key of a stronger role", newKey(escrow.KeyInput{Role: "strong"}), lacks + "policies.set, positions.fund."},
		{"a key of a stronger role that is restricted", newKey(escrow.KeyInput{Role: "strong", Restrict: toHolders("a")}), lacks + "policies.set, positions.fund."},
		{"an admin's key", newKey(escrow.KeyInput{Role: "admin"}), lacks},
		{"a reader's key", newKey(escrow.KeyInput{Role: "read_only"}), lacks + "institutions.read, policies.read, templates.read, holds.read, reports.read, proofs.read, approvals.read."},
		{"a holder's key", newKey(escrow.KeyInput{Role: "holder", Restrict: toHolders("a")}), lacks + "proofs.read."},
		{"rotating a weaker key", newRotation(weak, 0), ""},
		{"rotating a key with the same", newRotation(equal, 0), ""},
		{"rotating its own", newRotation(giver.Key, time.Hour), ""},
		{"rotating a key of a stronger role", newRotation(strong, 0), lacks + "policies.set, positions.fund."},
		{"rotating a key with a list of more", newRotation(listed, 0), lacks + "positions.fund."},
		{"rotating an admin's", newRotation(admin, 0), lacks},
		{"ending a stronger key gives nothing", escrow.RevokeKey{Key: admin}, ""},
		{"nor does what it is called", valid(escrow.NewUpdateKey(strong, new("Another"), nil)), ""},
	} {
		d.actor = giver
		if test.detail == "" {
			d.accept(test.command)
			continue
		}
		refusal := d.refusal(test.command, escrow.CodePermissionMissing)
		if refusal.Detail != test.detail && !(test.detail == lacks && strings.HasPrefix(refusal.Detail, lacks)) {
			t.Errorf("%s is refused with %q, want %q", test.name, refusal.Detail, test.detail)
		}
	}
	d.checkReplay()
}

// What a role is at the moment counts, not what it was when a key was made of it.
func TestWhatARoleHasNowIsWhatItsKeysGive(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("giver", "keys.manage", "positions.read"))
	d.accept(setRole("clerk", "positions.read"))
	clerk := d.keyOf(escrow.KeyInput{Role: "clerk"})
	giver := escrow.ActorKey(d.keyOf(escrow.KeyInput{Role: "giver"}))
	as := func(actor escrow.Actor) { d.actor = actor }

	d.accept(setRole("clerk", "positions.read", "positions.fund"))
	as(giver)
	d.refuse(newRotation(clerk, 0), escrow.CodePermissionMissing)
	d.refuse(newKey(escrow.KeyInput{Role: "clerk"}), escrow.CodePermissionMissing)
	as(escrow.ActorRoot())
	d.accept(setRole("giver", "keys.manage", "positions.read", "positions.fund"))
	as(giver)
	d.accept(newRotation(clerk, 0))
	d.accept(newKey(escrow.KeyInput{Role: "clerk"}))
}

func TestAKeyIsMadeOfARoleThatThereIs(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	refusal := d.refusal(newKey(escrow.KeyInput{Role: "clerk"}), escrow.CodeInvalidInput)
	checkFaults(t, refusal.Faults,
		"role must be one of admin, operator, maker, approver, compliance, auditor, read_only, holder, or a role of the institution")
	d.accept(setRole("clerk"))
	d.accept(newKey(escrow.KeyInput{Role: "clerk"}))
}

// Keys, roles and policies are the whole institution's, and templates the bounds of restrictions: whatever
// a restricted key may, it is not for these.
func TestARestrictedKeyIsNotForWhatConcernsTheWholeInstitution(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	asset := d.asset(template)
	other := d.keyOf(escrow.KeyInput{})
	restrictions := map[string]*escrow.RestrictionInput{
		"a template": toTemplates(template), "an asset": toAssets(asset), "a holder": toHolders("a"), "amounts": toAmounts("USD", "5"),
	}
	for name, restriction := range restrictions {
		own := d.keyOf(escrow.KeyInput{Restrict: restriction})
		d.actor = escrow.ActorKey(own)
		for _, command := range []escrow.Command{
			newKey(escrow.KeyInput{Role: "admin"}),
			newKey(escrow.KeyInput{Role: "admin", Restrict: restriction}),
			newKey(escrow.KeyInput{Permissions: new(names("positions.read")), Restrict: toHolders("b")}),
			newRotation(own, 0),
			newRotation(other, 0),
			escrow.RevokeKey{Key: other},
			escrow.RevokeKey{Key: own},
			valid(escrow.NewUpdateKey(other, new("B"), nil)),
			setRole("clerk"),
			setRole("clerk", escrow.TenantPermissions()...),
			valid(escrow.NewSetPolicy("US", rules("", ""))),
			valid(escrow.NewCreateTemplate(templateInput(escrow.ConstructionEscrow, `{"currency":"USD"}`))),
			valid(escrow.NewUpdateTemplate(template, new("B"), nil)),
			escrow.CloseTemplate{Template: template},
			escrow.CloseTemplate{Template: escrow.TemplateID{1}},
		} {
			if refusal := d.refusal(command, escrow.CodeKeyRestricted); refusal.Detail != escrow.KeyRestricted().Detail {
				t.Errorf("a key for %s: %T is refused with %q", name, command, refusal.Detail)
			}
		}
		// What takes a permission that it has not is refused for that.
		d.refuse(escrow.CloseInstitution{}, escrow.CodePermissionMissing)
		d.actor = escrow.ActorRoot()
	}
}

// A holder's key without holders would be for all of them.
func TestAKeyOfAHolderIsRestrictedToSome(t *testing.T) {
	t.Parallel()
	const missing = "restrict.holderReferences is required for the role holder, which sees their positions alone"
	for name, test := range map[string]struct {
		restrict *escrow.RestrictionInput
		want     []string
	}{
		"not restricted":                {nil, []string{missing}},
		"restricted to something else":  {toAmounts("USD", "1"), []string{missing}},
		"restricted to no holders":      {toHolders(), []string{"restrict.holderReferences must have 1 to 30 elements, or be left out"}},
		"restricted to nothing":         {&escrow.RestrictionInput{}, []string{"restrict must restrict something, or be left out"}},
		"restricted to a holder":        {toHolders("a"), nil},
		"restricted to a holder's part": {&escrow.RestrictionInput{HolderReferences: &[]string{"a"}, MaxAmount: map[string]money.Digits{"USD": "1"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateKey(escrow.KeyInput{Label: "A", Role: "holder", Restrict: test.restrict}, escrow.SecretHash{})
			checkFaults(t, faults, test.want...)
		})
	}
}

// Whoever lost a permission is answered from no record either, and what is refused to one is not kept
// for another.
func TestARepeatedRequestIsJudgedByWhatItsActorMayNow(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("clerk", "policies.set", "keys.manage", "positions.read"))
	clerk := escrow.ActorKey(d.keyOf(escrow.KeyInput{Role: "clerk"}))
	d.actor = clerk
	policy := under(d.request(valid(escrow.NewSetPolicy("US", rules("1", "")))), "policy", 1)
	key := under(d.request(newKey(escrow.KeyInput{Permissions: new(names("positions.read"))})), "key", 2)
	refused := under(d.request(newKey(escrow.KeyInput{Role: "admin"})), "admin", 3)
	for _, request := range []escrow.Request{policy, key} {
		if outcome := d.execute(request); outcome.Refusal != nil || outcome.Record != nil {
			t.Fatalf("the first outcome is %+v", outcome)
		}
		if outcome := d.execute(request); outcome.Record == nil {
			t.Fatalf("the second outcome is %+v", outcome)
		}
	}
	if outcome := d.execute(refused); outcome.Refusal == nil || outcome.Refusal.Code != escrow.CodePermissionMissing {
		t.Fatalf("an admin's key: the outcome is %+v", outcome)
	}

	d.actor = escrow.ActorRoot()
	d.accept(setRole("clerk", "keys.manage"))
	for name, request := range map[string]escrow.Request{"policy": policy, "key": key} {
		if outcome := d.execute(request); outcome.Record != nil || outcome.Refusal == nil || outcome.Refusal.Code != escrow.CodePermissionMissing {
			t.Errorf("%s: repeated without the permission, the outcome is %+v", name, outcome)
		}
	}
	refused.Actor = escrow.ActorRoot()
	if outcome := d.execute(refused); outcome.Refusal != nil || outcome.Record != nil {
		t.Errorf("what was refused to another is kept: %+v", outcome)
	}
}

func TestAKeyHasARoleOrPermissions(t *testing.T) {
	t.Parallel()
	oneOf := "permissions must be one of " + strings.Join(names(escrow.TenantPermissions()...), ", ")
	for name, test := range map[string]struct {
		in   escrow.KeyInput
		want []string
	}{
		"neither":              {escrow.KeyInput{}, []string{"role is required, unless there are permissions"}},
		"both":                 {escrow.KeyInput{Role: "admin", Permissions: new(names("keys.read"))}, []string{"permissions must be left out where there is a role"}},
		"a role":               {escrow.KeyInput{Role: "any_role_1"}, nil},
		"a role of wrong form": {escrow.KeyInput{Role: "Any"}, []string{"role must be 1 to 63 small letters, digits and underscores, beginning with a letter"}},
		"permissions":          {escrow.KeyInput{Permissions: new(names("keys.read", "assets.read"))}, nil},
		"no permissions":       {escrow.KeyInput{Permissions: &[]string{}}, []string{"permissions must have at least one element"}},
		"one too long":         {escrow.KeyInput{Permissions: new(names(escrow.Permission(strings.Repeat("a", 99))))}, []string{oneOf + `, and not "` + strings.Repeat("a", 64) + `"`}},
		"one twice":            {escrow.KeyInput{Permissions: new(names("keys.read", "keys.read"))}, []string{"permissions must not name keys.read twice"}},
		"one that is unknown":  {escrow.KeyInput{Permissions: new(names("keys.*"))}, []string{oneOf + `, and not "keys.*"`}},
		"the operator's":       {escrow.KeyInput{Permissions: new(names("institutions.create"))}, []string{oneOf + `, and not "institutions.create"`}},
		"an owner":             {escrow.KeyInput{Role: "admin", Owner: new(" Treasury ")}, nil},
		"an empty owner":       {escrow.KeyInput{Role: "admin", Owner: new(" ")}, []string{"owner must not be empty: leave it out instead"}},
		"too long an owner":    {escrow.KeyInput{Role: "admin", Owner: new(strings.Repeat("a", 256))}, []string{"owner must have at most 255 characters"}},
		"networks":             {escrow.KeyInput{Role: "admin", AllowedNetworks: &[]string{"192.0.2.1", "192.0.2.0/24"}}, nil},
		"no networks":          {escrow.KeyInput{Role: "admin", AllowedNetworks: &[]string{}}, []string{"allowedNetworks must have 1 to 30 elements, or be left out"}},
		"a network twice":      {escrow.KeyInput{Role: "admin", AllowedNetworks: &[]string{"192.0.2.1", "192.0.2.1/32"}}, []string{`allowedNetworks must not name "192.0.2.1/32" twice`}},
		"a name for a network": {escrow.KeyInput{Role: "admin", AllowedNetworks: &[]string{"example.com"}}, []string{"allowedNetworks must be a network like 192.0.2.0/24, or an address"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.in.Label = "A"
			_, faults := escrow.NewCreateKey(test.in, escrow.SecretHash{})
			checkFaults(t, faults, test.want...)
		})
	}
}
