package escrow_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// bank is a desk whose releases from 500 USD on take two approvers and one of compliance.
type bank struct {
	*desk
	asset                     escrow.AssetID
	maker, ann, bob, cat, eve escrow.Actor
}

func openBank(t *testing.T, rules ...escrow.ApprovalRuleInput) bank {
	t.Helper()
	b := bank{desk: openDesk(t)}
	b.asset = b.escrow()
	b.maker = b.keyOf("operator", "Mia")
	b.ann, b.bob, b.cat = b.keyOf("approver", "Ann"), b.keyOf("approver", "Bob"), b.keyOf("compliance", "Cat")
	b.eve = b.keyOf("admin", "Eve")
	if rules == nil {
		rules = []escrow.ApprovalRuleInput{{
			ID: "large", On: []string{"positions.release"},
			When:    escrow.RuleConditionsInput{AmountFrom: map[string]money.Digits{"USD": "500"}},
			Require: []escrow.RequirementInput{{Role: "approver", Count: 2}, {Role: "compliance", Count: 1}},
		}}
	}
	if len(rules) > 0 {
		b.accept(valid(escrow.NewSetApprovalRules(rules, nil)))
	}
	t.Cleanup(func() {
		if !t.Failed() {
			b.findNothing()
		}
	})
	return b
}

func (b bank) keyOf(role, owner string) escrow.Actor {
	in := escrow.KeyInput{Label: "A key", Role: role}
	if owner != "" {
		in.Owner = &owner
	}
	hash := escrow.HashSecret(fmt.Sprint(b.random.Uint64()))
	return escrow.ActorKey(subjectID[escrow.KeyID](b.accept(valid(escrow.NewCreateKey(in, hash)))))
}

// keyBy has a key made by somebody.
func (b bank) keyBy(maker escrow.Actor, role, owner string) escrow.Actor {
	b.t.Helper()
	before := b.actor
	defer func() { b.actor = before }()
	b.actor = maker
	return b.keyOf(role, owner)
}

// restricted makes a key for one asset.
func (b bank) restricted(role, owner string) escrow.Actor {
	b.t.Helper()
	in := escrow.KeyInput{
		Label: "A key", Role: role, Owner: &owner, Restrict: &escrow.RestrictionInput{AssetIDs: &[]string{b.asset.String()}},
	}
	return escrow.ActorKey(subjectID[escrow.KeyID](b.accept(valid(escrow.NewCreateKey(in, escrow.HashSecret(fmt.Sprint(b.random.Uint64())))))))
}

// wantRefused has somebody ask for what must be refused with a code.
func (b bank) wantRefused(actor escrow.Actor, command escrow.Command, want escrow.Code) {
	b.t.Helper()
	if outcome := b.as(actor, command); codeOf(outcome.Refusal) != want {
		b.t.Errorf("%T of %s: %+v, %v, want %q", command, actor, outcome.Resource, outcome.Refusal, want)
	}
}

func (b bank) as(actor escrow.Actor, command escrow.Command) escrow.Outcome {
	b.t.Helper()
	request := b.request(command)
	request.Actor = actor
	return b.execute(request)
}

func (b bank) ask(actor escrow.Actor, command escrow.Command) escrow.Approval {
	b.t.Helper()
	outcome := b.as(actor, command)
	a, ok := outcome.Resource.(escrow.Approval)
	if !ok {
		b.t.Fatalf("%T became %+v, %v, not an approval", command, outcome.Resource, outcome.Refusal)
	}
	return a
}

func (b bank) approve(actor escrow.Actor, a escrow.Approval) (escrow.Approval, *escrow.Error) {
	b.t.Helper()
	asked := must(a.Asked())
	outcome := b.as(actor, valid(escrow.NewApproveApproval(a.ID, asked.Digest.String(), new("Seen"))))
	now, _ := outcome.Resource.(escrow.Approval)
	return now, outcome.Refusal
}

func (b bank) funded(amount string) escrow.PositionID {
	b.t.Helper()
	id := b.position(b.asset, amount, "USD")
	b.accept(transition(id, "FUNDED", ""))
	return id
}

func TestACommandUnderARuleWaitsForDistinctPersons(t *testing.T) {
	t.Parallel()
	b := openBank(t)
	position := b.funded("1000")
	small := b.as(b.maker, transition(position, "PARTIALLY_RELEASED", "499.99"))
	if _, ok := small.Resource.(escrow.Position); !ok {
		t.Fatalf("a small release became %+v, %v", small.Resource, small.Refusal)
	}

	a := b.ask(b.maker, transition(position, "RELEASED", ""))
	if held := b.get(position).Held; held != 50001 || a.Status != escrow.ApprovalPending {
		t.Fatalf("%d are held, of the approval %s", held, a.Status)
	}
	for _, step := range []struct {
		actor escrow.Actor
		code  escrow.Code
	}{
		{b.maker, "permission_missing"},
		{b.eve, "approval_role"},
		{b.ann, ""},
		{b.ann, "approval_own"},
		{b.bob, ""},
		{b.keyOf("approver", "Dan"), "approval_role"},
		{b.cat, ""},
		{b.cat, "approval_closed"},
	} {
		now, refusal := b.approve(step.actor, a)
		if code := codeOf(refusal); code != step.code {
			t.Fatalf("%s: %v, want %q", step.actor, refusal, step.code)
		}
		if refusal == nil {
			a = now
		}
	}
	if a.Status != escrow.ApprovalExecuted || b.get(position).State != "RELEASED" {
		t.Fatalf("the approval is %+v, the position %s", a, b.get(position).State)
	}
	last := b.lastEntry()
	if last.Actor != b.maker || last.Approval == nil || last.Approval.ID != a.ID || len(last.Approval.By) != 3 {
		t.Errorf("the entry is %s", last.Body)
	}
	b.checkReplay()
}

func codeOf(refusal *escrow.Error) escrow.Code {
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

// goldenApprovals executes those of the golden journal's commands that wait for others.
func goldenApprovals(t *testing.T, d *desk, template escrow.TemplateID) {
	t.Helper()
	b := bank{desk: d}
	b.now = b.books.Head.At.Add(time.Second)
	b.maker, b.ann, b.bob = b.keyOf("admin", "Mia"), b.keyOf("approver", "Ann"), b.keyOf("approver", "Bob <2>")
	asset := d.asset(template)
	one, two := b.position(asset, "100", "JPY"), b.position(asset, "200", "JPY")
	b.accept(valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{
		{
			ID: "free", On: []string{"keys.manage"}, Require: []escrow.RequirementInput{},
		},
		{
			ID: "moves", On: []string{"positions.fund", "positions.release"}, Require: approvers(2), ExpiresIn: new("48h"),
			When: escrow.RuleConditionsInput{
				TemplateID: new(template.String()), AssetID: new(asset.String()), Region: new("US"),
				AmountFrom: map[string]money.Digits{"jpy": "300", "USD": "0.5"}, Window: new("24h"), WindowScope: new("institution"),
			},
		},
		{ID: "rest", On: []string{"roles.manage", "assets.create"}, Require: approvers(1)},
	}, []int64{0})))

	fund := b.ask(b.maker, transitions(
		escrow.TransitionItem{
			PositionID: one.String(), IfVersion: new(int64(1)),
			TransitionInput: escrow.TransitionInput{ToState: "FUNDED", Reason: new("paid <1>"), Metadata: escrow.Metadata(`{ "wire": 7 }`)},
		},
		escrow.TransitionItem{PositionID: two.String(), TransitionInput: escrow.TransitionInput{ToState: "FUNDED", Amount: new(money.Digits("200"))}},
	).batch(false))
	b.approved(b.ann, fund)
	b.approved(b.bob, fund)

	reject := b.ask(b.maker, setRole("clerk", "positions.read"))
	if refusal := b.as(b.ann, valid(escrow.NewRejectApproval(reject.ID, "Not \"now\""))).Refusal; refusal != nil {
		t.Fatal(refusal)
	}
	withdrawn := b.ask(b.maker, valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "Tower <D>"})))
	if refusal := b.as(b.maker, escrow.WithdrawApproval{Approval: withdrawn.ID}).Refusal; refusal != nil {
		t.Fatal(refusal)
	}
	b.breakGlass(setRole("clerk", "positions.read"))
	expires := b.ask(b.maker, transition(one, "RELEASED", ""))
	failed := b.ask(b.maker, valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, []int64{1})))
	b.now = expires.ExpiresAt
	if refusal := b.as(escrow.ActorSystem(), escrow.ExpireApproval{Approval: expires.ID}).Refusal; refusal != nil {
		t.Fatal(refusal)
	}
	b.accept(escrow.RevokeKey{Key: b.maker.Key})
	b.approved(b.ann, failed)
	b.accept(valid(escrow.NewEraseApproval(withdrawn.ID, new("GDPR <17>"), nil, 0)))
	released := escrow.TransitionInput{ToState: "RELEASED", Reason: new("by hand")}
	b.breakGlass(transitions(
		escrow.TransitionItem{PositionID: one.String(), TransitionInput: released},
		escrow.TransitionItem{PositionID: two.String(), TransitionInput: released},
	).batch(false))
}

// breakGlass has the operator carry out at once what takes an approval.
func (b bank) breakGlass(command escrow.Command) escrow.Outcome {
	b.t.Helper()
	request := b.request(command)
	request.Actor, request.BreakGlass = escrow.ActorRoot(), "Nobody is there"
	outcome := b.execute(request)
	if outcome.Refusal != nil {
		b.t.Fatalf("the operator's %T is refused: %v", command, outcome.Refusal)
	}
	return outcome
}

// approved approves what must be accepted.
func (b bank) approved(actor escrow.Actor, a escrow.Approval) escrow.Approval {
	b.t.Helper()
	now, refusal := b.approve(actor, a)
	if refusal != nil {
		b.t.Fatalf("%s approves %s: %v", actor, a.ID, refusal)
	}
	return now
}

// approvers asks for some persons of the role approver.
func approvers(count int64) []escrow.RequirementInput {
	return []escrow.RequirementInput{{Role: "approver", Count: count}}
}
