package escrow_test

import (
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// onePerson is a bank in which policies take an approval of one admin.
func onePerson(t *testing.T) bank {
	t.Helper()
	return openBank(t, escrow.ApprovalRuleInput{
		ID: "a", On: []string{"policies.set"}, Require: []escrow.RequirementInput{{Role: "admin", Count: 1}},
	})
}

func policy(amount string) escrow.Command { return valid(escrow.NewSetPolicy("US", rules(amount, ""))) }

// Four eyes are those of two persons, whatever keys they have.
func TestWhoMayApproveWhatSomebodyAsks(t *testing.T) {
	t.Parallel()
	rotate := func(b bank, by escrow.Actor, key escrow.Actor) escrow.Actor {
		before := b.actor
		b.desk.actor = by
		defer func() { b.desk.actor = before }()
		return escrow.ActorKey(subjectID[escrow.KeyID](b.accept(newRotation(key.Key, time.Hour))))
	}
	for _, test := range []struct {
		name string
		pair func(b bank) (maker, checker escrow.Actor)
		want escrow.Code
	}{
		{"two owners", func(b bank) (escrow.Actor, escrow.Actor) { return b.keyOf("admin", "Ada"), b.keyOf("admin", "Bea") }, ""},
		{"two keys of the operator's making that name nobody", func(b bank) (escrow.Actor, escrow.Actor) { return b.keyOf("admin", ""), b.keyOf("admin", "") }, ""},
		{"the same key", func(b bank) (escrow.Actor, escrow.Actor) { ada := b.keyOf("admin", "Ada"); return ada, ada }, "approval_own"},
		{"two keys of an owner", func(b bank) (escrow.Actor, escrow.Actor) {
			return b.keyOf("admin", "Ada Lane"), b.keyOf("admin", " ada  LANE")
		}, "approval_own"},
		{"the key that it was rotated to", func(b bank) (escrow.Actor, escrow.Actor) {
			old := b.keyOf("admin", "")
			return old, rotate(b, old, rotate(b, escrow.ActorRoot(), old))
		}, "approval_own"},
		{"the key that it was rotated from", func(b bank) (escrow.Actor, escrow.Actor) {
			old := b.keyOf("admin", "")
			return rotate(b, old, old), old
		}, "approval_own"},
		{"a key that the maker made", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return ada, b.keyBy(ada, "admin", "Bea")
		}, "approval_own"},
		{"the key that made the maker's", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return b.keyBy(ada, "admin", "Bea"), ada
		}, "approval_own"},
		{"another key of who made the maker's", func(b bank) (escrow.Actor, escrow.Actor) {
			return b.keyBy(b.keyOf("admin", "Ada"), "admin", "Bea"), b.keyOf("admin", "Ada")
		}, "approval_own"},
		{"a key that the maker made through another", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return ada, b.keyBy(b.keyBy(ada, "admin", "Bea"), "admin", "Cora")
		}, "approval_own"},
		{"a key that the maker made through others that name nobody", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "")
			return ada, b.keyBy(b.keyBy(b.keyBy(ada, "admin", ""), "admin", "Bea"), "admin", "")
		}, "approval_own"},
		{"a key that the maker has rotated", func(b bank) (escrow.Actor, escrow.Actor) {
			ada, bea := b.keyOf("admin", "Ada"), b.keyOf("admin", "Bea")
			return ada, rotate(b, ada, bea)
		}, "approval_own"},
		{"one that has rotated itself many times", func(b bank) (escrow.Actor, escrow.Actor) {
			ada, bea := b.keyOf("admin", "Ada"), b.keyOf("admin", "Bea")
			for range 9 {
				bea = rotate(b, bea, bea)
			}
			return ada, bea
		}, ""},
		{"two owners with keys of one maker", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return b.keyBy(ada, "admin", "Bea"), b.keyBy(ada, "admin", "Cora")
		}, ""},
		{"two keys of one maker that name nobody", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return b.keyBy(ada, "admin", ""), b.keyBy(ada, "admin", "")
		}, "approval_own"},
		{"one of them made by the other's brother", func(b bank) (escrow.Actor, escrow.Actor) {
			ada := b.keyOf("admin", "Ada")
			return b.keyBy(ada, "admin", ""), b.keyBy(b.keyBy(ada, "admin", ""), "admin", "")
		}, "approval_own"},
		{"who is behind too many others", func(b bank) (escrow.Actor, escrow.Actor) {
			ada, far := b.keyOf("admin", "Ada"), b.keyOf("admin", "0")
			for _, owner := range []string{"1", "2", "3", "4", "5"} {
				far = b.keyBy(far, "admin", owner)
			}
			return ada, far
		}, "approval_own"},
		{"who is behind as many as are looked at", func(b bank) (escrow.Actor, escrow.Actor) {
			ada, far := b.keyOf("admin", "Ada"), b.keyOf("admin", "0")
			for _, owner := range []string{"1", "2", "3", "4"} {
				far = b.keyBy(far, "admin", owner)
			}
			return ada, far
		}, ""},
		{"the operator's own key", func(b bank) (escrow.Actor, escrow.Actor) { return escrow.ActorRoot(), b.keyOf("admin", "Ada") }, "approval_own"},
		{"a key of another's making than the operator's", func(b bank) (escrow.Actor, escrow.Actor) {
			return escrow.ActorRoot(), b.keyBy(b.keyOf("admin", "Ada"), "admin", "Bea")
		}, ""},
		{"the operator", func(b bank) (escrow.Actor, escrow.Actor) { return b.keyOf("admin", "Ada"), escrow.ActorRoot() }, "approval_own"},
		{"the operator, for what a key of another's making asks", func(b bank) (escrow.Actor, escrow.Actor) {
			return b.keyBy(b.keyOf("admin", "Ada"), "admin", "Bea"), escrow.ActorRoot()
		}, "approval_role"},
		{"a restricted key", func(b bank) (escrow.Actor, escrow.Actor) {
			return b.keyOf("admin", "Ada"), b.restricted("admin", "Bea")
		}, "key_restricted"},
		{"a key with the permission and no role", func(b bank) (escrow.Actor, escrow.Actor) {
			list := escrow.KeyInput{Permissions: new(names("approvals.decide"))}
			return b.keyOf("admin", "Ada"), escrow.ActorKey(b.desk.keyOf(list))
		}, "approval_role"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := onePerson(t)
			maker, checker := test.pair(b)
			a := b.ask(maker, policy("1"))
			if _, refusal := b.approve(checker, a); codeOf(refusal) != test.want {
				t.Errorf("%v, want %q", refusal, test.want)
			}
			b.checkReplay()
		})
	}
}

// withPeople gives the bank an identity provider whose groups have roles.
func (b bank) withPeople() {
	b.t.Helper()
	groups := map[string]string{"admins": "admin", "approvers": "approver", "compliance": "compliance", "readers": "read_only"}
	b.accept(valid(escrow.NewSetIdentityProvider(providerInput(groups), nil)).WithSealed([]byte("sealed"), "k1"))
}

// approveAs has a user approve, who is in some groups.
func (b bank) approveAs(user escrow.UserID, a escrow.Approval, groups ...string) (escrow.Approval, *escrow.Error) {
	b.t.Helper()
	digest := must(a.Asked()).Digest.String()
	outcome := b.desk.as(user, valid(escrow.NewApproveApproval(a.ID, digest, nil)), groups...)
	now, _ := outcome.Resource.(escrow.Approval)
	return now, outcome.Refusal
}

// A user is one person, and so is the owner of keys who is called like one.
func TestUsersApproveAsTheOnePersonThatTheyAre(t *testing.T) {
	t.Parallel()
	b := onePerson(t)
	b.withPeople()
	ada, bea := b.join("1", "Ada", "Ada@Example.com"), b.join("2", "Bea", "")
	askAs := func(user escrow.UserID) escrow.Approval {
		t.Helper()
		a, ok := b.desk.as(user, policy("1"), "admins").Resource.(escrow.Approval)
		if !ok {
			t.Fatal("a user's request does not wait")
		}
		return a
	}
	want := func(what string, refusal *escrow.Error, code escrow.Code) {
		t.Helper()
		if codeOf(refusal) != code {
			t.Errorf("%s: %v, want %q", what, refusal, code)
		}
	}

	a := askAs(ada)
	_, refusal := b.approveAs(ada, a, "admins")
	want("who asked", refusal, "approval_own")
	_, refusal = b.approve(b.keyOf("admin", "ada@example.com"), a)
	want("a key of that owner", refusal, "approval_own")
	_, refusal = b.approve(b.keyOf("admin", ada.String()), a)
	want("a key that names the user", refusal, "approval_own")
	_, refusal = b.approve(b.keyBy(escrow.ActorRoot(), "admin", "Ada"), a)
	want("a key of another owner", refusal, "")

	a = b.ask(b.keyOf("admin", "ADA@example.com"), policy("2"))
	_, refusal = b.approveAs(ada, a, "admins")
	want("the user whose key asked", refusal, "approval_own")
	_, refusal = b.approveAs(bea, a, "readers", "approvers")
	want("another of another role", refusal, "approval_role")
	_, refusal = b.approveAs(bea, a, "unknown")
	want("another of no role", refusal, "permission_missing")
	_, refusal = b.approveAs(bea, a, "readers", "admins")
	want("another of the role", refusal, "")

	// What a user's key makes is the user's.
	request := b.request(valid(escrow.NewCreateKey(escrow.KeyInput{Label: "A", Role: "admin"}, escrow.HashSecret("x"))))
	request.Actor = escrow.ActorUser(bea)
	request.Membership = escrow.Membership{Issuer: b.provider().Issuer, Groups: []string{"admins"}}
	made := escrow.ActorKey(subjectID[escrow.KeyID](b.execute(request)))
	a = b.ask(made, policy("3"))
	_, refusal = b.approveAs(bea, a, "admins")
	want("who made the key", refusal, "approval_own")
	b.checkReplay()
}

// One person has one voice, whatever roles they have, and voices are shared out as well as can be.
func TestVoicesAreSharedOutAsWellAsCanBe(t *testing.T) {
	t.Parallel()
	b := openBank(t, escrow.ApprovalRuleInput{ID: "a", On: []string{"policies.set"}, Require: []escrow.RequirementInput{
		{Role: "approver", Count: 1}, {Role: "compliance", Count: 1},
	}})
	b.withPeople()
	both, one, other := b.join("1", "", ""), b.join("2", "", ""), b.join("3", "", "")
	a := b.ask(b.eve, policy("1"))
	a, refusal := b.approveAs(both, a, "approvers", "compliance")
	if refusal != nil || a.Status != "PENDING" || len(must(a.Missing())) != 1 {
		t.Fatalf("%v, %+v", refusal, a)
	}
	if a, refusal = b.approveAs(one, a, "approvers"); refusal != nil || a.Status != "EXECUTED" {
		t.Errorf("%v, %s", refusal, a.Status)
	}

	a = b.ask(b.eve, policy("2"))
	a, _ = b.approveAs(one, a, "compliance")
	if _, refusal = b.approveAs(other, a, "compliance"); codeOf(refusal) != "approval_role" {
		t.Errorf("a second voice of a role that asks for one: %v", refusal)
	}
	if a, refusal = b.approveAs(both, a, "approvers", "compliance"); refusal != nil || a.Status != "EXECUTED" {
		t.Errorf("%v, %s", refusal, a.Status)
	}
	b.checkReplay()
}

// What a role allows is what it allows now: a group's role that may decide no more has no voice.
func TestARoleThatMayNotDecideAnyMoreHasNoVoice(t *testing.T) {
	t.Parallel()
	b := openBank(t, []escrow.ApprovalRuleInput{}...)
	b.accept(setRole("treasury", "approvals.decide"))
	b.accept(valid(escrow.NewSetIdentityProvider(providerInput(map[string]string{"t": "treasury", "a": "approver"}), nil)).WithSealed([]byte("s"), "k"))
	user := b.join("1", "", "")
	b.accept(valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{{
		ID: "a", On: []string{"policies.set"}, Require: []escrow.RequirementInput{{Role: "treasury", Count: 1}},
	}}, nil)))
	a := b.ask(b.eve, policy("1"))
	b.accept(setRole("treasury", "positions.read"))
	if _, refusal := b.approveAs(user, a, "t", "a"); codeOf(refusal) != "approval_role" {
		t.Errorf("%v", refusal)
	}
	b.accept(setRole("treasury", "approvals.decide"))
	if _, refusal := b.approveAs(user, a, "t"); refusal != nil {
		t.Error(refusal)
	}
}
