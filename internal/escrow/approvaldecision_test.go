package escrow_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// twoApprove is a bank in which what moves a position, and roles, take two approvers.
func twoApprove(t *testing.T) bank {
	t.Helper()
	return openBank(t, escrow.ApprovalRuleInput{
		ID: "a", On: []string{"positions.release", "positions.cancel", "roles.manage", "assets.create", "assets.update"}, Require: approvers(2),
	})
}

func TestNewDecisionsTellEveryFault(t *testing.T) {
	t.Parallel()
	id, long := escrow.ApprovalID{1}, strings.Repeat("x", 1001)
	for digest, ok := range map[string]bool{
		strings.Repeat("0f", 32): true, strings.Repeat("0F", 32): true, "": false, "0f": false, strings.Repeat("0f", 33): false, strings.Repeat("xx", 32): false,
	} {
		_, faults := escrow.NewApproveApproval(id, digest, nil)
		if ok {
			checkFaults(t, faults)
			continue
		}
		checkFaults(t, faults, "digest must be the digest of the approval, 64 hexadecimal digits")
	}
	_, faults := escrow.NewApproveApproval(id, strings.Repeat("00", 32), new(" "))
	checkFaults(t, faults, "comment must not be empty: leave it out instead")
	_, faults = escrow.NewRejectApproval(id, "")
	checkFaults(t, faults, "comment is required")
	_, faults = escrow.NewRejectApproval(id, long)
	checkFaults(t, faults, "comment must have at most 1000 characters")
	_, faults = escrow.ReadBreakGlass(" ")
	checkFaults(t, faults, "breakGlass.reason must not be empty: leave it out instead")
	if reason, faults := escrow.ReadBreakGlass(" Fire "); reason != "Fire" || faults != nil {
		t.Errorf("%q, %v", reason, faults)
	}
}

// What is asked for is shown as it will be carried out, and what is signed is what was shown.
func TestAnApprovalShowsWhatItAsksFor(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	position := b.funded("1000")
	command := valid(escrow.NewTransitionPosition(position, escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("250.00")), Reason: new("Milestone <1>"), Metadata: escrow.Metadata(`{"invoice": 7}`),
	}, []int64{2}))
	a := b.ask(b.maker, command)
	asked := must(a.Asked())
	if got, want := string(asked.Command), `{"type":"position.transition","positionId":"`+position.String()+`","toState":"PARTIALLY_RELEASED",`+
		`"amount":"250.00","reason":"Milestone <1>","metadata":{"invoice":7},"ifVersion":[2]}`; got != want {
		t.Errorf("it asks for %s, want %s", got, want)
	}
	wantRules := []escrow.AppliedRule{{ID: "a", Version: 1, Require: []escrow.RuleRequirement{{Role: "approver", Count: 2}}}}
	wantSubjects := []escrow.ApprovalSubject{{
		InstitutionID: b.books.InstitutionID(), ApprovalID: a.ID, Subject: position.String(), Permission: "positions.release",
		Amount: money.Money{Amount: 25000, Currency: usd}, Holds: true,
	}}
	if diff := cmp.Diff(wantRules, asked.Rules) + cmp.Diff(wantSubjects, asked.Subjects); diff != "" {
		t.Errorf("wanted (-) and asked (+):\n%s", diff)
	}
	if a.Maker != b.maker || a.Version != 1 || !a.ExpiresAt.Equal(a.CreatedAt.Add(72*time.Hour)) || len(must(a.Missing())) != 1 {
		t.Errorf("the approval is %+v", a)
	}
	if body := string(b.lastEntry().Body); strings.Contains(body, "Milestone") || strings.Contains(body, "invoice") || b.lastEntry().Kind != "APPROVAL_REQUESTED" {
		t.Errorf("the entry is %s", body)
	}

	other := strings.Repeat("00", 32)
	b.wantRefused(b.ann, valid(escrow.NewApproveApproval(a.ID, other, nil)), "approval_digest")
	b.wantRefused(b.ann, valid(escrow.NewApproveApproval(escrow.ApprovalID{1}, other, nil)), "approval_not_found")
	a = b.approved(b.ann, a)
	if again := must(a.Asked()); again.Digest != asked.Digest || a.Version != 2 || a.Given[0].Actor != b.ann {
		t.Errorf("approved once, it is %+v", a)
	}
	a = b.approved(b.bob, a)
	entries := b.books.Entries[len(b.books.Entries)-2:]
	if a.Executed != entries[1].Sequence || a.Entries != 1 || entries[0].Kind != "APPROVAL_GIVEN" || entries[1].Subject != position.String() {
		t.Errorf("the approval is %+v, the entries %s and %s", a, entries[0].Body, entries[1].Body)
	}
	_, step, _ := entries[1].PositionEvent()
	if step.Reason != "Milestone <1>" || string(step.Metadata) != `{"invoice":7}` || step.Actor != b.maker || b.get(position).Held != 75000 {
		t.Errorf("the step is %+v", step)
	}
	b.checkReplay()
}

// The secrets of the entries that one request makes are all different, and so are their ids.
func TestEntriesOfOneRequestHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	one, two := b.funded("100"), b.funded("100")
	to := escrow.TransitionInput{ToState: "RELEASED", Reason: new("same")}
	batch := transitions(escrow.TransitionItem{PositionID: one.String(), TransitionInput: to}, escrow.TransitionItem{PositionID: two.String(), TransitionInput: to}).batch(false)
	a := b.ask(b.maker, batch)
	a = b.approved(b.ann, a)
	a = b.approved(b.bob, a)
	if a.Entries != 2 || b.get(one).State != "RELEASED" || b.get(two).State != "RELEASED" {
		t.Fatalf("the approval is %+v", a)
	}
	b.breakGlass(valid(escrow.NewUpdateAsset(b.asset, escrow.AssetChange{Label: new("Another")}, nil)))
	b.approved(b.bob, b.approved(b.ann, b.ask(b.eve, valid(escrow.NewUpdateAsset(b.asset, escrow.AssetChange{Label: new("A third")}, nil)))))
	seen := map[string]bool{}
	for _, entry := range b.books.Entries {
		names := []string{entry.ID.String()}
		if entry.Private != nil {
			names = append(names, string(entry.Private[:32]))
		}
		for _, name := range names {
			if seen[name] {
				t.Errorf("%x stands twice, again in %s", name, entry.Body)
			}
			seen[name] = true
		}
	}
	b.checkReplay()
}

func TestAnApprovalEndsOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		end    func(b bank, a escrow.Approval) escrow.Outcome
		status escrow.ApprovalStatus
		code   escrow.Code
	}{
		{"rejected by who could approve", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.bob, valid(escrow.NewRejectApproval(a.ID, "No")))
		}, "REJECTED", ""},
		{"rejected by who has approved", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.ann, valid(escrow.NewRejectApproval(a.ID, "No")))
		}, "REJECTED", ""},
		{"rejected by the operator", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(escrow.ActorRoot(), valid(escrow.NewRejectApproval(a.ID, "No")))
		}, "REJECTED", ""},
		{"not by another role", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.cat, valid(escrow.NewRejectApproval(a.ID, "No")))
		}, "PENDING", "approval_role"},
		{"withdrawn by its maker", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.maker, escrow.WithdrawApproval{Approval: a.ID})
		}, "WITHDRAWN", ""},
		{"withdrawn with another key of its maker", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.keyOf("read_only", "mia"), escrow.WithdrawApproval{Approval: a.ID})
		}, "WITHDRAWN", ""},
		{"not withdrawn by another", func(b bank, a escrow.Approval) escrow.Outcome {
			return b.as(b.eve, escrow.WithdrawApproval{Approval: a.ID})
		}, "PENDING", "forbidden"},
		{"expired", func(b bank, a escrow.Approval) escrow.Outcome {
			b.desk.now = a.ExpiresAt
			return b.as(escrow.ActorSystem(), escrow.ExpireApproval{Approval: a.ID})
		}, "EXPIRED", ""},
		{"not expired before its time", func(b bank, a escrow.Approval) escrow.Outcome {
			b.desk.now = a.ExpiresAt.Add(-time.Microsecond)
			return b.as(escrow.ActorSystem(), escrow.ExpireApproval{Approval: a.ID})
		}, "PENDING", "approval_closed"},
		{"nor by somebody", func(b bank, a escrow.Approval) escrow.Outcome {
			b.desk.now = a.ExpiresAt
			return b.as(escrow.ActorRoot(), escrow.ExpireApproval{Approval: a.ID})
		}, "PENDING", "forbidden"},
		{"not approved after its time", func(b bank, a escrow.Approval) escrow.Outcome {
			b.desk.now = a.ExpiresAt
			return b.as(b.bob, valid(escrow.NewApproveApproval(a.ID, must(a.Asked()).Digest.String(), nil)))
		}, "PENDING", "approval_closed"},
		{"nor withdrawn", func(b bank, a escrow.Approval) escrow.Outcome {
			b.desk.now = a.ExpiresAt
			return b.as(b.maker, escrow.WithdrawApproval{Approval: a.ID})
		}, "PENDING", "approval_closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := twoApprove(t)
			a := b.approved(b.ann, b.ask(b.maker, transition(b.funded("10"), "RELEASED", "")))
			outcome := test.end(b, a)
			now, _ := b.books.Approvals.Get(a.ID)
			if codeOf(outcome.Refusal) != test.code || now.Status != test.status {
				t.Fatalf("%v, want %q; it is %s, want %s", outcome.Refusal, test.code, now.Status, test.status)
			}
			if pending := b.books.Head.Approvals; (pending == 1) != (test.status == "PENDING") {
				t.Errorf("%d are pending", pending)
			}
			if test.status != "PENDING" {
				for _, command := range []escrow.Command{
					valid(escrow.NewApproveApproval(a.ID, must(a.Asked()).Digest.String(), nil)), valid(escrow.NewRejectApproval(a.ID, "No")),
				} {
					b.wantRefused(b.bob, command, "approval_closed")
				}
				b.wantRefused(b.maker, escrow.WithdrawApproval{Approval: a.ID}, "approval_closed")
				b.wantRefused(escrow.ActorSystem(), escrow.ExpireApproval{Approval: a.ID}, "approval_closed")
			}
			b.checkReplay()
		})
	}
	b := twoApprove(t)
	none := escrow.ApprovalID{1}
	b.wantRefused(b.bob, valid(escrow.NewRejectApproval(none, "No")), "approval_not_found")
	b.wantRefused(b.bob, escrow.WithdrawApproval{Approval: none}, "approval_not_found")
	b.wantRefused(escrow.ActorSystem(), escrow.ExpireApproval{Approval: none}, "approval_not_found")
}

// What was approved is validated anew: where it is refused now it has failed, and nothing else happens.
func TestWhatWasApprovedFailsWhereItIsRefusedNow(t *testing.T) {
	t.Parallel()
	release := func(b bank) escrow.Command { return transition(b.funded("10"), "RELEASED", "") }
	system := func(b bank, _ escrow.Approval) { b.desk.now = b.desk.now.Add(time.Hour) }
	for _, test := range []struct {
		name      string
		asks      func(b bank) escrow.Command
		meanwhile func(b bank, a escrow.Approval)
		code      escrow.Code // of the refusal; empty where it is carried out
		says      string
	}{
		{"nothing happened", release, system, "", ""},
		{"the position expired", func(b bank) escrow.Command {
			expires := b.now.Add(time.Hour)
			id := subjectID[escrow.PositionID](b.accept(newPosition(b.asset, "10", "USD", &expires)))
			b.accept(transition(id, "FUNDED", ""))
			return transition(id, "RELEASED", "")
		}, system, "position_expired", "The position expired"},
		{"the position was moved by the system", func(b bank) escrow.Command {
			expires := b.now.Add(time.Minute)
			id := subjectID[escrow.PositionID](b.accept(newPosition(b.asset, "10", "USD", &expires)))
			b.accept(transition(id, "FUNDED", ""))
			return transition(id, "RELEASED", "")
		}, func(b bank, a escrow.Approval) {
			b.desk.now = b.desk.now.Add(time.Hour)
			id := must(parsePosition(must(a.Asked()).Subjects[0].Subject))
			if refusal := b.as(escrow.ActorSystem(), escrow.ExpirePosition(id)).Refusal; refusal != nil {
				b.t.Fatal(refusal)
			}
		}, "invalid_transition", "EXPIRED cannot become RELEASED"},
		{"the version is another", func(b bank) escrow.Command {
			id := b.position(b.asset, "10", "USD")
			b.accept(transition(id, "FUNDED", ""))
			return valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, []int64{0}))
		}, func(b bank, _ escrow.Approval) {
			b.accept(valid(escrow.NewSetApprovalRules(nil, nil)))
			b.accept(setRole("clerk", "positions.read"))
		}, "version_mismatch", "version of the role is 1"},
		{"the template was closed", func(b bank) escrow.Command {
			id := b.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
			return valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: id.String(), Label: "A"}))
		}, func(b bank, _ escrow.Approval) {
			for _, template := range b.books.Templates.Created() {
				b.accept(escrow.CloseTemplate{Template: template.ID})
			}
		}, "asset_template_closed", "was closed"},
		{"the maker was revoked", release, func(b bank, _ escrow.Approval) { b.accept(escrow.RevokeKey{Key: b.maker.Key}) }, "forbidden", "has lost the right to act"},
		{"the maker's key was rotated", release, func(b bank, _ escrow.Approval) { b.accept(newRotation(b.maker.Key, 0)) }, "", ""},
		{"and the new one revoked", release, func(b bank, _ escrow.Approval) {
			b.accept(escrow.RevokeKey{Key: subjectID[escrow.KeyID](b.accept(newRotation(b.maker.Key, time.Hour)))})
		}, "forbidden", "has lost the right to act"},
		{"a checker was revoked", release, func(b bank, _ escrow.Approval) { b.accept(escrow.RevokeKey{Key: b.ann.Key}) }, "forbidden", "has lost the right to act"},
		{"the rules are others", release, func(b bank, _ escrow.Approval) { b.accept(valid(escrow.NewSetApprovalRules(nil, nil))) }, "", ""},
		{"the institution was closed, and ends what it has begun", release, func(b bank, _ escrow.Approval) { b.books.Head.Closed = 1 }, "", ""},
		{"the institution was closed, and begins nothing", func(bank) escrow.Command { return setRole("clerk") }, func(b bank, _ escrow.Approval) { b.books.Head.Closed = 1 }, "institution_closed", "was closed"},
		{"an item of a batch is refused", func(b bank) escrow.Command {
			return transitions(twice(b.funded("10"), "3")...).batch(false)
		}, func(b bank, a escrow.Approval) {
			id := must(parsePosition(must(a.Asked()).Subjects[0].Subject))
			p := b.get(id)
			p.Retained = 500
			b.books.Positions.Put(id, p)
		}, "template_retainage", "Item 1 of the batch: "},
		{"its private values were erased", func(b bank) escrow.Command {
			return valid(escrow.NewTransitionPosition(b.funded("10"), escrow.TransitionInput{ToState: "RELEASED", Reason: new("x")}, nil))
		}, func(b bank, a escrow.Approval) {
			a.Private = nil
			b.books.Approvals.Put(a.ID, a)
		}, "approval_closed", "erased in part"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := twoApprove(t)
			b.maker = b.keyOf("admin", "Mia")
			a := b.approved(b.ann, b.ask(b.maker, test.asks(b)))
			test.meanwhile(b, a)
			now, refusal := b.approve(b.bob, a)
			if refusal != nil {
				t.Fatal(refusal)
			}
			if test.code == "" {
				if now.Status != "EXECUTED" || now.Refusal != nil || b.lastEntry().Approval == nil {
					t.Errorf("it is %+v, by %s", now, b.lastEntry().Body)
				}
				return
			}
			if now.Status != "FAILED" || now.Refusal == nil || now.Refusal.Code != test.code || !strings.Contains(now.Refusal.Detail, test.says) {
				t.Errorf("it is %s, %+v, want %s with %q", now.Status, now.Refusal, test.code, test.says)
			}
			last := b.books.Entries[len(b.books.Entries)-2:]
			if last[0].Kind != "APPROVAL_GIVEN" || last[1].Kind != "APPROVAL_FAILED" || now.Executed != 0 || len(now.Given) != 2 {
				t.Errorf("its last entries are %s and %s", last[0].Body, last[1].Body)
			}
		})
	}
}

// A right that a maker has lost is not exercised by others.
func TestWhatAMakerMayNoMoreFails(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	b.accept(setRoleNow(b, "releaser", "positions.release"))
	maker := b.keyOf("releaser", "Rob")
	a := b.approved(b.ann, b.ask(maker, transition(b.funded("10"), "RELEASED", "")))
	b.accept(valid(escrow.NewSetApprovalRules(nil, nil)))
	b.accept(setRole("releaser", "positions.read"))
	a = b.approved(b.bob, a)
	if a.Status != "FAILED" || a.Refusal.Code != "permission_missing" {
		t.Errorf("it is %+v", a)
	}
	b.checkReplay()
}

// A key that is rotated while its approval waits is followed, as often as anybody rotates it; where that was too
// often, the refusal says so, and nothing else.
func TestAMakerIsFollowedThroughRotations(t *testing.T) {
	t.Parallel()
	for rotations, want := range map[int]escrow.ApprovalStatus{1: "EXECUTED", 5: "EXECUTED", 16: "EXECUTED", 17: "FAILED"} {
		b := twoApprove(t)
		a := b.approved(b.ann, b.ask(b.maker, transition(b.funded("10"), "RELEASED", "")))
		key := b.maker.Key
		for range rotations {
			key = subjectID[escrow.KeyID](b.accept(newRotation(key, 0)))
		}
		a = b.approved(b.bob, a)
		if a.Status != want || want == "FAILED" && a.Refusal.Detail != b.maker.String()+" was rotated more than 16 times since, and is not followed any further." {
			t.Errorf("rotated %d times, the maker's approval is %s: %+v", rotations, a.Status, a.Refusal)
		}
		b.checkReplay()
	}
}

// setRoleNow sets a role as the operator does in a hurry, and returns a command that changes nothing.
func setRoleNow(b bank, name string, permissions ...escrow.Permission) escrow.Command {
	b.t.Helper()
	b.breakGlass(setRole(name, permissions...))
	return setRole(name, permissions...)
}

// A user whose identity provider is gone, or who was suspended, asks and approves nothing any more.
func TestUsersWhoWereSentAwayNeitherAskNorApprove(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(b bank, user escrow.UserID){
		"suspended": func(b bank, user escrow.UserID) { b.accept(escrow.SuspendUser{User: user}) },
		"removed":   func(b bank, _ escrow.UserID) { b.accept(escrow.RemoveIdentityProvider{}) },
		"nothing":   func(bank, escrow.UserID) {},
	} {
		for _, asks := range []bool{true, false} {
			b := twoApprove(t)
			b.withPeople()
			user := b.join("1", "", "")
			var a escrow.Approval
			if asks {
				a, _ = b.desk.as(user, setRole("clerk"), "admins").Resource.(escrow.Approval)
				a = b.approved(b.ann, a)
			} else {
				a, _ = b.approveAs(user, b.ask(b.eve, setRole("clerk")), "approvers")
			}
			meanwhile(b, user)
			a = b.approved(b.bob, a)
			if want := map[bool]escrow.ApprovalStatus{true: "EXECUTED", false: "FAILED"}[name == "nothing"]; a.Status != want {
				t.Errorf("%s, who asks: %t: it is %s, want %s", name, asks, a.Status, want)
			}
		}
	}
}

// What is so already when it is carried out is carried out without an entry.
func TestWhatIsSoAlreadyIsCarriedOutWithoutAnEntry(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	a := b.approved(b.ann, b.ask(b.maker2(), setRole("clerk", "positions.read")))
	b.accept(valid(escrow.NewSetApprovalRules(nil, nil)))
	b.accept(setRole("clerk", "positions.read"))
	head := b.books.Head.Sequence
	a = b.approved(b.bob, a)
	if a.Status != "EXECUTED" || a.Executed != 0 || a.Entries != 0 || b.books.Head.Sequence != head+1 {
		t.Errorf("it is %+v", a)
	}
	b.checkReplay()
}

func (b bank) maker2() escrow.Actor { return b.eve }

// What changes nothing, and what would be refused, waits for nobody.
func TestWhatWouldBeRefusedOrChangesNothingWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	b.breakGlass(setRole("clerk"))
	head := b.books.Head
	if outcome := b.as(b.eve, setRole("clerk")); outcome.Refusal != nil || b.books.Head != head {
		t.Errorf("%+v, %v", outcome.Resource, outcome.Refusal)
	}
	b.wantRefused(b.maker, transition(escrow.PositionID{1}, "RELEASED", ""), "position_not_found")
	b.wantRefused(b.maker, transition(b.funded("1"), "FUNDED", ""), "invalid_transition")
	position := b.funded("1")
	head = b.books.Head
	b.wantRefused(b.maker, transition(position, "PARTIALLY_RELEASED", "2"), "transition_amount")
	b.wantRefused(b.maker, transitions(twice(position, "2")...).batch(false), "batch_refused")
	if b.books.Head != head {
		t.Errorf("the head is %+v, want %+v", b.books.Head, head)
	}
	b.checkReplay()
}

// A subject waits once for each kind of command, and what waits of a position's money is nobody else's.
func TestWhatIsPendingIsReserved(t *testing.T) {
	t.Parallel()
	b := openBank(t, ruleOf("big", "positions.release positions.cancel", from("USD 300")))
	position, other := b.funded("1000"), b.funded("1000")
	a := b.ask(b.maker, transition(position, "PARTIALLY_RELEASED", "300"))
	for _, step := range []struct {
		command escrow.Command
		want    escrow.Code
	}{
		{transition(position, "PARTIALLY_RELEASED", "300"), "approval_pending"}, // It waits already.
		{transition(position, "RELEASED", ""), "approval_pending"},
		{transition(position, "CANCELLED", ""), "approval_pending"},
		{transition(position, "PARTIALLY_RELEASED", "200"), ""},
		{transitions(twice(position, "250.01")...).batch(true), "approval_pending"}, // 500 are free.
		{transitions(twice(position, "100")...).batch(true), ""},
		{transition(position, "PARTIALLY_RELEASED", "299"), ""},
		{transition(position, "PARTIALLY_RELEASED", "1.01"), "approval_pending"}, // 301 are held.
		{transitions(twice(position, "0.60")...).batch(true), "approval_pending"},
		{transition(position, "PARTIALLY_RELEASED", "1"), ""},
		{transition(other, "PARTIALLY_RELEASED", "1"), ""},
	} {
		b.wantRefused(b.maker, step.command, step.want)
	}
	b.wantRefused(b.maker, escrow.WithdrawApproval{Approval: a.ID}, "")
	b.wantRefused(b.maker, transition(position, "RELEASED", ""), "")
	b.checkReplay()
}

// The money stays reserved where the rules are gone, until somebody decides.
func TestWhatIsPendingIsReservedWithoutRules(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	position := b.funded("1000")
	a := b.ask(b.maker, transitions(twice(position, "300")...).batch(true))
	b.accept(valid(escrow.NewSetApprovalRules(nil, nil)))
	b.wantRefused(b.maker, transition(position, "PARTIALLY_RELEASED", "400.01"), "approval_pending")
	b.wantRefused(b.maker, transition(position, "PARTIALLY_RELEASED", "399"), "")
	b.approved(b.ann, a)
	if now := b.approved(b.bob, a); now.Status != "EXECUTED" || b.get(position).Held != 100 {
		t.Errorf("it is %s, and %d are held", now.Status, b.get(position).Held)
	}
	b.checkReplay()
}

func TestTheOperatorBreaksTheGlassAndNobodyElse(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	position := b.funded("10")
	b.ask(escrow.ActorRoot(), setRole("clerk")) // The operator is under the rules as well.
	request := b.request(transition(position, "RELEASED", ""))
	request.Actor, request.BreakGlass = b.maker, "Fire"
	if refusal := b.execute(request).Refusal; codeOf(refusal) != "break_glass_forbidden" {
		t.Errorf("a key breaks the glass: %v", refusal)
	}
	request.Actor = escrow.ActorRoot()
	outcome := b.execute(request)
	if p, ok := outcome.Resource.(escrow.Position); !ok || p.State != "RELEASED" {
		t.Fatalf("%+v, %v", outcome.Resource, outcome.Refusal)
	}
	entries := b.books.Entries[len(b.books.Entries)-2:]
	a, _ := b.books.Approvals.Get(entries[1].Approval.ID)
	asked := must(a.Asked())
	if a.Status != "EXECUTED" || !asked.BreakGlass || asked.Reason != "Fire" || !entries[1].Approval.BreakGlass || a.Executed != entries[1].Sequence || a.Entries != 1 {
		t.Errorf("the approval is %+v, the entry %s", a, entries[1].Body)
	}
	if strings.Contains(string(entries[0].Body), "Fire") || b.books.Head.Approvals != 1 {
		t.Errorf("the entry is %s, the head %+v", entries[0].Body, b.books.Head)
	}
	request.Command = setRole("clerk", "keys.read")
	if refusal := b.execute(request).Refusal; codeOf(refusal) != "approval_pending" {
		t.Errorf("the glass of what waits: %v", refusal)
	}
	b.checkReplay()
}

// The same request again is the same approval, and no second one.
func TestARepeatedRequestIsTheSameApproval(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	request := under(b.request(transitions(twice(b.funded("10"), "1")...).batch(true)), "key-1", 1)
	request.Actor = b.maker
	a, ok := b.execute(request).Resource.(escrow.Approval)
	if !ok {
		t.Fatal("it does not wait")
	}
	again := b.execute(request)
	if again.Record == nil || again.Record.Subject != a.ID.String() || again.Record.Sequence != b.books.Head.Sequence {
		t.Errorf("again it is %+v", again)
	}
	told := must(escrow.ResourceOf([]escrow.Entry{b.lastEntry()}))
	if diff := cmp.Diff(escrow.Resource(a), told, exactly()); diff != "" {
		t.Errorf("the approval (-) and what its entry tells (+):\n%s", diff)
	}
	request.Idempotency = under(request, "key-1", 2).Idempotency
	if refusal := b.execute(request).Refusal; codeOf(refusal) != "idempotency_key_reused" {
		t.Errorf("another request under the key: %v", refusal)
	}
	request.Idempotency = under(request, "key-1", 1).Idempotency
	if request.Actor = b.restrictedElsewhere(); codeOf(b.execute(request).Refusal) != "key_restricted" {
		t.Error("a key of another asset is told of the approval")
	}
}

// restrictedElsewhere makes a key for an asset that has no positions.
func (b bank) restrictedElsewhere() escrow.Actor {
	b.t.Helper()
	elsewhere := b
	elsewhere.asset = escrow.AssetID{9}
	return elsewhere.restricted("operator", "Nat")
}

// A batch that is not for a key says nothing of the approvals of what it hides.
func TestAPendingApprovalIsHiddenFromRestrictedKeys(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	position := b.funded("10")
	b.ask(b.maker, transition(position, "RELEASED", ""))
	key := b.restrictedElsewhere()
	b.wantRefused(key, transition(position, "RELEASED", ""), "position_not_found")
	outcome := b.as(key, transitions(twice(position, "1")...).batch(false))
	if results, ok := outcome.Resource.(escrow.BatchResults); !ok || codeOf(results[0].Refusal) != "position_not_found" {
		t.Errorf("%+v, %v", outcome.Resource, outcome.Refusal)
	}
}

// A restricted key asks for what is for it, and takes that back.
func TestARestrictedKeyAsksAndWithdraws(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	key := b.restricted("operator", "Nat")
	a := b.ask(key, transition(b.funded("10"), "RELEASED", ""))
	b.approved(b.ann, a)
	if a = b.approved(b.bob, a); a.Status != "EXECUTED" {
		t.Errorf("it is %+v", a)
	}
	a = b.ask(key, transition(b.funded("10"), "RELEASED", ""))
	b.wantRefused(key, escrow.WithdrawApproval{Approval: a.ID}, "")
	b.checkReplay()
}

// The moment at which a command is carried out is that at which it was tried.
func TestWhatExpiresWithinTheMomentFailsWhole(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	expires := b.now.Add(time.Hour)
	position := subjectID[escrow.PositionID](b.accept(newPosition(b.asset, "10", "USD", &expires)))
	b.accept(transition(position, "FUNDED", ""))
	a := b.approved(b.ann, b.ask(b.maker, transition(position, "RELEASED", "")))
	b.desk.now = expires.Add(-time.Microsecond) // Of the approval's entry; the command's is one later.
	if a = b.approved(b.bob, a); a.Status != "FAILED" || b.get(position).State != "FUNDED" {
		t.Errorf("it is %s, the position %s", a.Status, b.get(position).State)
	}
	b.checkReplay()

	b = twoApprove(t)
	position = subjectID[escrow.PositionID](b.accept(newPosition(b.asset, "10", "USD", &expires)))
	b.accept(transition(position, "FUNDED", ""))
	b.desk.now = expires.Add(-time.Microsecond)
	request := b.request(transition(position, "RELEASED", ""))
	request.BreakGlass = "Fire"
	head := b.books.Head
	if refusal := b.execute(request).Refusal; codeOf(refusal) != "position_expired" || b.books.Head != head {
		t.Errorf("%v, the head is %+v", refusal, b.books.Head)
	}
	b.checkReplay()
}

// The number of approvals that are pending has a bound, which the operator in a hurry does not meet.
func TestPendingApprovalsAreBounded(t *testing.T) {
	t.Parallel()
	b := twoApprove(t)
	b.books.Head.Approvals = escrow.MaxPendingApprovals
	b.wantRefused(b.eve, setRole("clerk"), "approval_limit")
	b.breakGlass(setRole("clerk"))
	b.books.Head.Approvals = escrow.MaxPendingApprovals - 1
	b.ask(b.eve, setRole("clerk", "keys.read"))
}

// Key by key, who asked and who approved are told by the entries; all entries of an approval make it.
func TestAnApprovalIsMadeOfItsEntries(t *testing.T) {
	t.Parallel()
	d := goldenDesk(t)
	bySubject := map[string][]escrow.Entry{}
	for _, entry := range d.books.Entries {
		if strings.HasPrefix(entry.Subject, "apr_") {
			bySubject[entry.Subject] = append(bySubject[entry.Subject], entry)
		}
	}
	for id, a := range d.books.Approvals.All() {
		told := must(escrow.ResourceOf(bySubject[id.String()]))
		if diff := cmp.Diff(escrow.Resource(a), told, exactly()); diff != "" {
			t.Errorf("the approval (-) and what its entries tell (+):\n%s", diff)
		}
		if !slices.Contains(escrow.ApprovalStatuses(), a.Status) || a.Status == "PENDING" {
			t.Errorf("it is %s", a.Status)
		}
	}
	if len(bySubject) != d.books.Approvals.Len() || len(bySubject) < 7 {
		t.Errorf("there are %d approvals, and entries of %d", d.books.Approvals.Len(), len(bySubject))
	}
}

// Entries of approvals that contradict what was before are none.
func TestEntriesOfApprovalsFollowOnOneAnother(t *testing.T) {
	t.Parallel()
	d := goldenDesk(t)
	for i, entry := range d.books.Entries {
		if !strings.HasPrefix(entry.Subject, "apr_") {
			continue
		}
		if entry.Kind == "APPROVAL_REQUESTED" {
			if _, err := escrow.ResourceOf([]escrow.Entry{entry, entry}); err == nil {
				t.Errorf("entry %d is taken twice", i+1)
			}
			broken := bytes.Replace(entry.Body, []byte(`"expiresAt":"2027`), []byte(`"expiresAt":"x027`), 1)
			if parsed, err := escrow.ParseEntry(broken, entry.Private); err == nil {
				if _, err := escrow.ResourceOf([]escrow.Entry{parsed}); err == nil {
					t.Errorf("%s is taken", broken)
				}
			}
			continue
		}
		if _, err := escrow.ResourceOf([]escrow.Entry{entry}); err == nil {
			t.Errorf("entry %d, %s, is taken for the first of its approval", i+1, entry.Kind)
		}
	}
}

func parsePosition(text string) (id escrow.PositionID, err error) {
	err = id.UnmarshalText([]byte(text))
	return id, err
}
