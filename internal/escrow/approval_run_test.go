package escrow_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// eyesRun is a bank, and the model of it.
type eyesRun struct {
	bank

	model     fourEyes
	actors    []escrow.Actor
	positions []escrow.PositionID
	approvals []escrow.ApprovalID
}

// Whatever is asked for, by whom, under which rules, and whoever decides: a command under a rule is never
// carried out without the different persons that it takes, and never twice; a dry run answers what then
// happens; the money adds up, and the journal tells all of it.
func TestApprovalsAreThoseOfTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &eyesRun{bank: bank{desk: openDesk(t)}, model: fourEyes{roles: map[string]string{}}}
		r.asset = r.escrow()
		for _, key := range []eyesKey{
			{role: "admin", owner: "ann"},
			{role: "operator", owner: "mia"},
			{role: "approver", owner: "bob"},
			{role: "approver", owner: "cat"},
			{role: "compliance", owner: "dan"},
			{role: "approver"},
			{role: "compliance", owner: "bob"},
		} {
			key.maker = eyesRoot
			r.makeKey(key)
		}
		for range 3 {
			r.fund(t)
		}
		r.setRules(t)
		t.Repeat(map[string]func(*rapid.T){
			"wait":         r.wait,
			"fund":         r.fund,
			"request":      r.request,
			"request on":   r.request,
			"request of":   r.request,
			"set a role":   r.setRole,
			"approve":      r.approve,
			"all approve":  r.approveAll,
			"more approve": r.approveAll,
			"end":          r.end,
			"expire":       r.expire,
			"erase":        r.erase,
			"set rules":    func(t *rapid.T) { r.setRules(t) },
			"make a key":   r.drawKey,
			"rotate":       r.rotate,
			"revoke":       r.revoke,
			"":             r.compare,
		})
		r.checkExecuted(t)
		r.checkReplay()
	})
}

func (r *eyesRun) makeKey(key eyesKey) {
	maker := escrow.ActorRoot()
	if key.maker != eyesRoot {
		maker = r.actors[key.maker]
	}
	key.chain = len(r.model.keys)
	r.model.keys = append(r.model.keys, key)
	r.actors = append(r.actors, r.keyBy(maker, key.role, key.owner))
}

func (r *eyesRun) wait(t *rapid.T) {
	longest := rapid.SampledFrom([]int{1, 10, 40}).Draw(t, "hours")
	// Never a whole number of hours: each entry is some microseconds later than the model has it.
	r.desk.now = r.now.Add(time.Duration(rapid.IntRange(1, longest*60).Draw(t, "minutes"))*time.Minute + 7*time.Second)
}

func (r *eyesRun) fund(t *rapid.T) {
	amount := rapid.SampledFrom([]int{2, 50, 500, 1000}).Draw(t, "amount")
	r.positions = append(r.positions, r.funded(units(amount, 2)))
	r.model.positions = append(r.model.positions, eyesPosition{held: amount, state: "FUNDED"})
}

func (r *eyesRun) drawKey(t *rapid.T) {
	maker := rapid.IntRange(eyesRoot, len(r.actors)-1).Draw(t, "maker")
	makers := 0
	for key := maker; key != eyesRoot; key = r.model.keys[key].maker {
		makers++
	}
	if !r.model.mayAct(maker) || !r.model.mayManage(maker) || makers > 4 {
		t.Skip("it makes no keys")
	}
	r.makeKey(eyesKey{
		role:  rapid.SampledFrom([]string{"admin", "operator", "approver", "compliance"}).Draw(t, "role"),
		owner: rapid.SampledFrom([]string{"", "", "ann", "bob", "eve", "fay"}).Draw(t, "owner"), maker: maker,
	})
}

// rotate has the operator rotate a key, which then is of the operator's making.
func (r *eyesRun) rotate(t *rapid.T) {
	old := rapid.IntRange(1, len(r.actors)-1).Draw(t, "key")
	if !r.model.mayAct(old) || r.model.keys[old].next != 0 {
		t.Skip("it cannot be rotated")
	}
	fresh := r.model.keys[old]
	fresh.maker = eyesRoot
	r.model.keys[old].next, r.model.keys[old].expired = len(r.model.keys), true
	r.model.keys = append(r.model.keys, fresh)
	rotation := valid(escrow.NewRotateKey(r.actors[old].Key, escrow.RotationInput{}, escrow.HashSecret(fmt.Sprint(r.random.Uint64()))))
	r.actors = append(r.actors, escrow.ActorKey(subjectID[escrow.KeyID](r.accept(rotation))))
}

func (r *eyesRun) revoke(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "seldom") > 0 {
		t.Skip("most keys stay")
	}
	key := rapid.IntRange(2, len(r.actors)-1).Draw(t, "key")
	r.model.keys[key].revoked = true
	r.accept(escrow.RevokeKey{Key: r.actors[key].Key})
}

func (r *eyesRun) setRules(t *rapid.T) {
	var model []eyesRule
	inputs := []escrow.ApprovalRuleInput{}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		rule := eyesRule{from: -1, expires: time.Duration(rapid.IntRange(1, 72).Draw(t, "expires")) * time.Hour, require: map[string]int{}}
		permissions := []string{"positions.release", "positions.cancel", "roles.manage"}
		rule.on = rapid.SliceOfNDistinct(rapid.SampledFrom(permissions), 1, 3, rapid.ID[string]).Draw(t, "on")
		in := escrow.ApprovalRuleInput{ID: fmt.Sprintf("r%d", i), On: rule.on, ExpiresIn: new(fmt.Sprintf("%dh", rule.expires/time.Hour)), Require: []escrow.RequirementInput{}}
		if !slices.Contains(rule.on, "roles.manage") && rapid.Bool().Draw(t, "from") {
			rule.from = rapid.IntRange(0, 800).Draw(t, "amount")
			in.When.AmountFrom = map[string]money.Digits{"USD": money.Digits(units(rule.from, 2))}
			if rapid.Bool().Draw(t, "window") {
				rule.hours, rule.institution = rapid.IntRange(1, 168).Draw(t, "hours"), rapid.Bool().Draw(t, "institution")
				in.When.Window, in.When.WindowScope = new(fmt.Sprintf("%dh", rule.hours)), new(map[bool]string{true: "institution", false: "actor"}[rule.institution])
			}
		}
		roles := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"approver", "compliance", "admin"}), min(1, 3-i), 2, rapid.ID[string]).Draw(t, "roles")
		for _, role := range roles {
			rule.require[role] = rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "count")
			in.Require = append(in.Require, escrow.RequirementInput{Role: role, Count: int64(rule.require[role])})
		}
		model, inputs = append(model, rule), append(inputs, in)
	}
	outcome := r.execute(r.bank.request(valid(escrow.NewSetApprovalRules(inputs, nil))))
	if want := r.model.setRules(model); string(codeOf(outcome.Refusal)) != want {
		t.Fatalf("the rules become %v, the model says %q", outcome.Refusal, want)
	}
}

// actor draws who acts; -1 is the operator.
func (r *eyesRun) actor(t *rapid.T) (key int, actor escrow.Actor) {
	key = rapid.IntRange(eyesRoot, len(r.actors)-1).Draw(t, "actor")
	if key == eyesRoot {
		return key, escrow.ActorRoot()
	}
	return key, r.actors[key]
}

func (r *eyesRun) drawStep(t *rapid.T) (eyesStep, escrow.TransitionItem) {
	s := eyesStep{
		position: rapid.IntRange(0, len(r.positions)-1).Draw(t, "position"), amount: -1,
		to: rapid.SampledFrom([]string{"PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED"}).Draw(t, "to"),
	}
	in := escrow.TransitionInput{ToState: s.to}
	if s.to == "PARTIALLY_RELEASED" || rapid.IntRange(0, 5).Draw(t, "given") == 0 {
		s.amount = rapid.IntRange(1, 500).Draw(t, "amount")
		in.Amount = new(money.Digits(units(s.amount, 2)))
	}
	return s, escrow.TransitionItem{PositionID: r.positions[s.position].String(), TransitionInput: in}
}

func (r *eyesRun) request(t *rapid.T) {
	for range rapid.IntRange(1, 4).Draw(t, "requests") {
		r.requestOne(t)
	}
}

func (r *eyesRun) requestOne(t *rapid.T) {
	var command eyesCommand
	var steps []escrow.TransitionItem
	command.batch = rapid.Bool().Draw(t, "batch")
	for range rapid.IntRange(1, map[bool]int{true: 4, false: 1}[command.batch]).Draw(t, "steps") {
		s, item := r.drawStep(t)
		command.steps = append(command.steps, s)
		steps = append(steps, item)
	}
	if command.batch {
		r.ask(t, command, transitions(steps...).batch(false))
		return
	}
	s := command.steps[0]
	amount := ""
	if s.amount != -1 {
		amount = units(s.amount, 2)
	}
	r.ask(t, command, transition(r.positions[s.position], escrow.State(s.to), amount))
}

func (r *eyesRun) setRole(t *rapid.T) {
	command := eyesCommand{
		role:  rapid.SampledFrom([]string{"one", "two"}).Draw(t, "role"),
		value: rapid.SampledFrom([]string{"positions.read", "assets.read"}).Draw(t, "value"),
	}
	r.ask(t, command, setRole(command.role, escrow.Permission(command.value)))
}

func (r *eyesRun) ask(t *rapid.T, command eyesCommand, asked escrow.Command) {
	key, actor := r.actor(t)
	for range 3 {
		if !r.model.mayAct(key) || !r.model.mayMove(key) {
			key, actor = r.actor(t) // Most who ask may do so.
		}
	}
	request := r.bank.request(asked)
	request.Actor = actor
	glass := rapid.IntRange(0, 5).Draw(t, "glass") == 0
	if glass {
		request.BreakGlass = "Fire"
	}
	want, wantWaits := r.model.request(r.now, key, command, glass)
	outcome := r.both(t, request)
	a, waits := outcome.Resource.(escrow.Approval)
	if string(codeOf(outcome.Refusal)) != want || waits != wantWaits {
		t.Fatalf("%+v of %d: it waits: %t, %v; the model says %t, %q", command, key, waits, outcome.Refusal, wantWaits, want)
	}
	if waits {
		r.approvals = append(r.approvals, a.ID)
	}
}

// both asks what would become of a request, and then for it: the two answers are the same, but for the
// sequence, and the first changes nothing.
func (r *eyesRun) both(t *rapid.T, request escrow.Request) escrow.Outcome {
	stamp, dry := r.stamp(), request
	dry.DryRun = true
	head, entries := r.books.Head, len(r.books.Entries)
	told := r.under(t, dry, stamp)
	if told.Sequence != head.Sequence && (told.Refusal == nil || told.Sequence != 0) || r.books.Head != head || len(r.books.Entries) != entries {
		t.Fatalf("a dry run was judged on %d and has made the head %+v, which was %+v", told.Sequence, r.books.Head, head)
	}
	sparse := r.withWhatItNeeds(t, request, stamp)
	outcome := r.under(t, request, stamp)
	if diff := cmp.Diff(outcome, sparse, exactly(), cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
		t.Fatalf("on all rows (-) and on those that the request has asked for (+):\n%s", diff)
	}
	told.Sequence = outcome.Sequence
	if diff := cmp.Diff(outcome, told, exactly(), cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
		t.Fatalf("what happened (-) and what was foretold (+):\n%s", diff)
	}
	return outcome
}

// withWhatItNeeds executes a request on books that have the rows which it asks for, and no others.
func (r *eyesRun) withWhatItNeeds(t *rapid.T, request escrow.Request, stamp escrow.Stamp) escrow.Outcome {
	request.Hint = escrow.RulesHint{Rules: rapid.Bool().Draw(t, "rules"), Windows: rapid.Bool().Draw(t, "windows"), Pending: rapid.Bool().Draw(t, "pending")}
	for range escrow.MaxAttempts {
		outcome, err := rowsFor(r.books, request.Needs()).Execute(request, stamp)
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Lacks == nil {
			return outcome
		}
		request = request.With(*outcome.Lacks)
	}
	t.Fatalf("after %d attempts rows are lacking", escrow.MaxAttempts)
	return escrow.Outcome{}
}

// rowsFor returns books with those rows of others that somebody needs.
func rowsFor(all *escrow.Books, needs escrow.Needs) *escrow.Books {
	books := escrow.NewBooks(all.InstitutionID(), all.Head, true)
	loadNeeded(&books.Keys, &all.Keys, needs.Keys...)
	loadNeeded(&books.Users, &all.Users, needs.Users...)
	loadNeeded(&books.Positions, &all.Positions, needs.Positions...)
	loadNeeded(&books.Approvals, &all.Approvals, needs.Approvals...)
	loadNeeded(&books.Moves, &all.Moves, needs.Moves...)
	loadNeeded(&books.Records, &all.Records, needs.Records...)
	loadNeeded(&books.Templates, &all.Templates, needs.Templates...)
	loadNeeded(&books.Assets, &all.Assets, needs.Assets...)
	for _, asset := range books.Assets.All() {
		loadNeeded(&books.Templates, &all.Templates, asset.TemplateID)
	}
	if needs.Rules {
		loadNeeded(&books.Rules, &all.Rules, all.InstitutionID())
	}
	if needs.Provider {
		loadNeeded(&books.Providers, &all.Providers, all.InstitutionID())
	}
	if needs.Roles {
		loadNeeded(&books.Roles, &all.Roles, slices.Collect(maps.Keys(maps.Collect(all.Roles.All())))...)
	}
	for id, key := range all.Keys.All() {
		if needs.ActiveKeys && key.Active(all.Head.At) && !slices.Contains(needs.Keys, id) {
			books.Keys.Load(id, key)
		}
	}
	for name, s := range all.Subjects.All() {
		if a, _ := all.Approvals.Get(s.ApprovalID); a.Status == "PENDING" && slices.Contains(needs.PendingOn, s.Subject) {
			books.Subjects.Load(name, s)
		}
	}
	return books
}

// under executes a request with a stamp, with whatever rows it lacks, as often as it may.
func (r *eyesRun) under(t *rapid.T, request escrow.Request, stamp escrow.Stamp) escrow.Outcome {
	for range escrow.MaxAttempts {
		outcome, err := r.books.Execute(request, stamp)
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Lacks == nil {
			return outcome
		}
		request = request.With(*outcome.Lacks)
	}
	t.Fatalf("after %d attempts rows are lacking", escrow.MaxAttempts)
	return escrow.Outcome{}
}

func (r *eyesRun) pick(t *rapid.T) int {
	if len(r.approvals) == 0 {
		t.Skip("nothing waits")
	}
	from := max(0, len(r.approvals)-rapid.SampledFrom([]int{2, 2, 100}).Draw(t, "recent"))
	return rapid.IntRange(from, len(r.approvals)-1).Draw(t, "approval")
}

func (r *eyesRun) decide(t *rapid.T, actor escrow.Actor, command escrow.Command, want string) {
	request := r.bank.request(command)
	request.Actor = actor
	if outcome := r.both(t, request); string(codeOf(outcome.Refusal)) != want {
		t.Fatalf("%T of %s: %v, the model says %q", command, actor, outcome.Refusal, want)
	}
}

func (r *eyesRun) approve(t *rapid.T) {
	approval := r.pick(t)
	key, actor := r.actor(t)
	r.approveBy(t, approval, key, actor)
}

// places are those of all keys.
func (r *eyesRun) places() (places []int) {
	for i := range r.actors {
		places = append(places, i)
	}
	return places
}

// approveAll has one after the other approve something that is pending.
func (r *eyesRun) approveAll(t *rapid.T) {
	approval := r.pick(t)
	for _, key := range rapid.Permutation(r.places()).Draw(t, "keys") {
		if r.model.approvals[approval].status == "PENDING" {
			r.approveBy(t, approval, key, r.actors[key])
		}
	}
}

func (r *eyesRun) approveBy(t *rapid.T, approval, key int, actor escrow.Actor) {
	a, _ := r.books.Approvals.Get(r.approvals[approval])
	digest := must(a.Asked()).Digest.String()
	r.decide(t, actor, valid(escrow.NewApproveApproval(a.ID, digest, nil)), r.model.approve(r.now, key, approval))
}

func (r *eyesRun) end(t *rapid.T) {
	approval := r.pick(t)
	key, actor := r.actor(t)
	if rapid.Bool().Draw(t, "rejects") {
		r.decide(t, actor, valid(escrow.NewRejectApproval(r.approvals[approval], "No")), r.model.end(r.now, key, approval, "REJECTED"))
		return
	}
	r.decide(t, actor, escrow.WithdrawApproval{Approval: r.approvals[approval]}, r.model.end(r.now, key, approval, "WITHDRAWN"))
}

func (r *eyesRun) erase(t *rapid.T) {
	approval := r.pick(t)
	key, actor := r.actor(t)
	reason := rapid.SampledFrom([]*string{nil, new("Article 17")}).Draw(t, "reason")
	r.decide(t, actor, valid(escrow.NewEraseApproval(r.approvals[approval], reason, nil, 0)), r.model.erase(key, approval))
}

func (r *eyesRun) expire(t *rapid.T) {
	approval := r.pick(t)
	r.decide(t, escrow.ActorSystem(), escrow.ExpireApproval{Approval: r.approvals[approval]}, r.model.expire(r.now, approval))
}

// compare compares what there is after each step.
func (r *eyesRun) compare(t *rapid.T) {
	pending := int64(0)
	for i, want := range r.model.approvals {
		a, _ := r.books.Approvals.Get(r.approvals[i])
		if string(a.Status) != want.status || len(a.Given) != len(want.given) || (a.ErasedAt != nil) != want.erased {
			t.Fatalf("the approval %d is %s with %d given, the model says %s with %d", i, a.Status, len(a.Given), want.status, len(want.given))
		}
		if want.status == "PENDING" {
			pending++
		}
	}
	if r.books.Head.Approvals != pending {
		t.Fatalf("%d are pending, the head says %d", pending, r.books.Head.Approvals)
	}
	for i, want := range r.model.positions {
		p := r.get(r.positions[i])
		if int(p.Held) != want.held || string(p.State) != want.state || p.CheckMoney() != nil {
			t.Fatalf("the position %d is %s with %d held (%v), the model says %s with %d", i, p.State, p.Held, p.CheckMoney(), want.state, want.held)
		}
	}
}

// checkExecuted reads of the journal who has approved each command that was carried out with an approval.
func (r *eyesRun) checkExecuted(t *rapid.T) {
	places := map[escrow.KeyID]int{}
	for i, actor := range r.actors {
		places[actor.Key] = i
	}
	entries := map[escrow.ApprovalID]int64{}
	for _, entry := range r.books.Entries {
		if entry.Approval == nil {
			continue
		}
		entries[entry.Approval.ID]++
		at := slices.Index(r.approvals, entry.Approval.ID)
		if at < 0 {
			if !entry.Approval.BreakGlass || entry.Actor != escrow.ActorRoot() || entry.Approval.By != nil {
				t.Fatalf("%s has an approval that nobody was asked for", entry.Body)
			}
			continue
		}
		asked := r.model.approvals[at]
		var given []int
		for _, by := range entry.Approval.By {
			given = append(given, places[by.Key])
		}
		if r.model.lacking(asked.rules, given) > 0 || asked.status != "EXECUTED" {
			t.Fatalf("%s lacks approvals", entry.Body)
		}
		for i, one := range given {
			if share(r.model.names(one), r.model.names(asked.maker)) {
				t.Fatalf("%s has its maker's approval", entry.Body)
			}
			for _, other := range given[:i] {
				if share(r.model.names(one), r.model.names(other)) {
					t.Fatalf("%s has two approvals of one person", entry.Body)
				}
			}
		}
	}
	told := map[escrow.ApprovalID]int64{}
	for id, a := range r.books.Approvals.All() {
		if a.Entries > 0 {
			told[id] = a.Entries
		}
	}
	if !maps.Equal(entries, told) {
		t.Fatalf("approvals with entries are %v, and say so of %v", entries, told)
	}
}
