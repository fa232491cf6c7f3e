package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// approvalRules are different ones for each of some numbers.
func approvalRules(of escrow.InstitutionID, i int) escrow.ApprovalRules {
	rule := escrow.ApprovalRule{
		ID: "large", On: []escrow.Permission{escrow.PermissionPositionsRelease},
		When: escrow.RuleConditions{
			TemplateID: escrow.TemplateID{15: 7}, Region: "US", AmountFrom: map[money.Code]money.Decimal{"USD": decimals()[1], "JPY": decimals()[2]},
			Window: escrow.Hours(24 * time.Hour), WindowScope: escrow.WindowOfInstitution,
		},
		Require: []escrow.RuleRequirement{{Role: "approver", Count: 2}, {Role: "clerk", Count: 1}}, ExpiresIn: escrow.Hours(time.Hour),
	}
	free := escrow.ApprovalRule{ID: "free", On: []escrow.Permission{escrow.PermissionPositionsCreate}, Require: []escrow.RuleRequirement{}, ExpiresIn: escrow.Hours(time.Hour)}
	return escrow.ApprovalRules{
		InstitutionID: of, Rules: pick([][]escrow.ApprovalRule{{rule, free}, {}, {free}}, i), Version: pick([]int64{1, math.MaxInt64}, i),
		CreatedAt: moments()[2], UpdatedAt: pick(moments(), i),
	}
}

// approvalState gives an approval what changes of it, different for each of some numbers.
func approvalState(a escrow.Approval, i int) escrow.Approval {
	a.Status = pick(escrow.ApprovalStatuses(), i)
	a.Given = pick([][]escrow.GivenApproval{
		nil, {{Actor: escrow.ActorKey(escrow.KeyID{15: 3}), Roles: []escrow.RoleName{"approver", "clerk"}, At: "2027-03-01T09:00:00.000001Z"}},
	}, i)
	a.Executed, a.Entries, a.Refusal, a.ErasedAt, a.ErasureReason = 0, 0, nil, nil, false
	if a.Status != escrow.ApprovalPending && i%3 > 0 {
		a.ErasedAt, a.ErasureReason = new(pick(moments(), i+2)), i%3 == 1
	}
	if a.Status == escrow.ApprovalExecuted {
		a.Executed, a.Entries = pick([]int64{1, math.MaxInt64 - 7}, i), pick([]int64{0, 1, escrow.MaxBatchItems}, i)
	}
	if a.Status == escrow.ApprovalFailed {
		a.Refusal = &escrow.ApprovalRefusal{Code: escrow.CodePositionNotFound, Detail: "«銀行» <&> \u2028"}
	}
	a.Version, a.UpdatedAt = pick([]int64{1, 2, math.MaxInt64}, i), pick(moments(), i)
	return a
}

func (f *fixture) addApprovals(of escrow.InstitutionID, s *samples) {
	s.rules = []escrow.ApprovalRules{approvalRules(of, 0)}
	for i := range 12 {
		f.moment()
		a := escrow.Approval{
			ID: f.uuid(), InstitutionID: of, Request: bytes.Repeat([]byte{'{', byte(i), 0, 255}, i+1), Private: pick([][]byte{nil, {0, 1, 255}}, i),
			Maker:     pick([]escrow.Actor{escrow.ActorRoot(), escrow.ActorKey(escrow.KeyID{15: 1}), escrow.ActorUser(escrow.UserID{15: 2})}, i),
			ExpiresAt: pick(moments(), i), CreatedAt: pick(moments(), i+1),
		}
		s.approvals = append(s.approvals, approvalState(a, i))
		for number := range int64((i + 1) % 3) {
			s.subjects = append(s.subjects, escrow.ApprovalSubject{
				InstitutionID: of, ApprovalID: a.ID, Number: number, Subject: pick(texts(), i/4), Permission: pick([]escrow.Permission{"a.b", "c"}, i),
				Amount: pick([]money.Money{{}, {Amount: math.MaxInt64, Currency: currencies()[2]}, {Amount: 1, Currency: currencies()[1]}}, i), Holds: i%2 == 0,
				HolderReference: pick([]string{"", "Ada «銀行»"}, i+int(number)),
			})
		}
		s.moves = append(s.moves, escrow.RecentMoves{InstitutionID: of, Of: pick(texts(), i) + fmt.Sprint(i), Hours: hours(i)})
	}
}

// hours are different moves for each of some numbers.
func hours(i int) []escrow.HourMoves {
	return []escrow.HourMoves{
		{Hour: int64(i), Permission: escrow.PermissionPositionsRelease, Currency: "USD", Amount: "92233720368547758.07"},
		{Hour: math.MaxInt64, Permission: escrow.PermissionPositionsFund, Currency: "JPY", Amount: fmt.Sprint(i)},
	}
}

// putApprovals also moves the head, which tells that approvals are pending.
func putApprovals(b *escrow.Books, s samples) {
	for _, rules := range s.rules {
		b.Rules.Put(rules.InstitutionID, rules)
	}
	for _, approval := range s.approvals {
		b.Approvals.Put(approval.ID, approval)
		b.Head.Approvals = 12
	}
	for _, subject := range s.subjects {
		b.Subjects.Put(subject.Name(), subject)
	}
	for _, moves := range s.moves {
		b.Moves.Put(moves.Of, moves)
	}
	if b.Head.Approvals != b.Opened().Approvals {
		b.Head.At = b.Head.At.Add(time.Microsecond)
	}
}

// isPending reports whether the approval that a subject belongs to is.
func (s samples) isPending(about escrow.ApprovalSubject) bool {
	return slices.ContainsFunc(s.approvals, func(a escrow.Approval) bool {
		return a.ID == about.ApprovalID && a.Status == escrow.ApprovalPending
	})
}

func (f *fixture) checkApprovals(of escrow.InstitutionID, s samples, books *escrow.Books) {
	f.t.Helper()
	ctx := f.t.Context()
	for _, want := range s.rules {
		got, ok := books.Rules.Get(of)
		f.compare("rules in the books", want, got, ok, nil)
		got, err := f.ApprovalRules(ctx, of)
		f.compare("rules", want, got, true, err)
	}
	approvals, err := f.Approvals(ctx, of, escrow.ApprovalFilter{}, everything())
	f.compare("list of approvals", s.approvals, approvals.Items, true, err)
	for _, want := range s.approvals {
		got, ok := books.Approvals.Get(want.ID)
		f.compare("approval in the books", want, got, ok, nil)
		got, ok, err := found(f.Approval(ctx, of, want.ID))
		f.compare("approval", want, got, ok, err)
	}
	for _, want := range s.subjects {
		if got, ok := books.Subjects.Get(want.Name()); ok != s.isPending(want) {
			f.t.Errorf("the subject %s is in the books: %t", want.Name(), ok)
		} else if ok {
			equal(f.t, "subject in the books", want, got)
		}
	}
	for _, want := range s.moves {
		got, ok := books.Moves.Get(want.Of)
		f.compare("moves in the books", want, got, ok, nil)
	}
}

func addNeedsOfApprovals(n *escrow.Needs, s samples) {
	n.Rules = n.Rules || len(s.rules) > 0
	for _, approval := range s.approvals {
		n.Approvals = append(n.Approvals, approval.ID)
	}
	for _, subject := range s.subjects {
		if !slices.Contains(n.PendingOn, subject.Subject) {
			n.PendingOn = append(n.PendingOn, subject.Subject)
		}
	}
	for _, moves := range s.moves {
		n.Moves = append(n.Moves, moves.Of)
	}
}

func heldApprovals(b *escrow.Books, s samples, keep func(name string, row any, ok bool)) {
	for _, known := range s.rules {
		row, ok := b.Rules.Get(known.InstitutionID)
		keep("rules of "+known.InstitutionID.String(), row, ok)
	}
	for _, known := range s.approvals {
		row, ok := b.Approvals.Get(known.ID)
		keep(known.ID.String(), row, ok)
	}
	for _, known := range s.subjects {
		row, ok := b.Subjects.Get(known.Name())
		keep(known.Name(), row, ok)
	}
	for _, known := range s.moves {
		row, ok := b.Moves.Get(known.Of)
		keep("moves of "+known.Of, row, ok)
	}
}

func wantedApprovals(s samples, n escrow.Needs, rows map[string]any) {
	for _, row := range s.rules {
		if n.Rules {
			rows["rules of "+row.InstitutionID.String()] = row
		}
	}
	for _, row := range s.approvals {
		keepNamed(rows, n.Approvals, row.ID, row)
	}
	for _, row := range s.subjects {
		if slices.Contains(n.PendingOn, row.Subject) && s.isPending(row) {
			rows[row.Name()] = row
		}
	}
	for _, row := range s.moves {
		if slices.Contains(n.Moves, row.Of) {
			rows["moves of "+row.Of] = row
		}
	}
}

// changedApprovals returns the samples with other values in the columns that can change.
func (s samples) changedApprovals() samples {
	s.rules, s.approvals, s.moves = []escrow.ApprovalRules{approvalRules(s.rules[0].InstitutionID, 1)}, slices.Clone(s.approvals), slices.Clone(s.moves)
	for i := range s.approvals {
		s.approvals[i] = approvalState(s.approvals[i], i+1)
	}
	for i := range s.moves {
		s.moves[i].Hours = hours(i + 100)
	}
	return s
}

// approvalsOf returns the samples as another institution's.
func (s samples) approvalsOf(institution escrow.InstitutionID) samples {
	s.rules, s.approvals = slices.Clone(s.rules), slices.Clone(s.approvals)
	s.subjects, s.moves = slices.Clone(s.subjects), slices.Clone(s.moves)
	for i := range s.rules {
		s.rules[i].InstitutionID = institution
	}
	for i := range s.approvals {
		s.approvals[i].InstitutionID = institution
	}
	for i := range s.subjects {
		s.subjects[i].InstitutionID = institution
	}
	for i := range s.moves {
		s.moves[i].InstitutionID = institution
	}
	return s
}

// What somebody has not moved is remembered, and so is what they move after that.
func testNoMovesAreRemembered(f *fixture) {
	of := f.institution()
	n := escrow.Needs{Moves: []string{"root", "institution"}}
	for i := range 3 {
		f.write(of, n, func(b *escrow.Books) {
			if b.Moves.Len() != i {
				f.t.Errorf("%d rows are in the books, want %d", b.Moves.Len(), i)
			}
			if i < 2 {
				b.Moves.Put(n.Moves[i], escrow.RecentMoves{InstitutionID: of, Of: n.Moves[i], Hours: hours(i)})
				b.Head.At = b.Head.At.Add(time.Microsecond)
			}
		})
		f.load(of, n)
	}
}

// Where no approval is pending, nothing is pending on any subject.
func testPendingOn(f *fixture) {
	of, other := f.institution(), f.institution()
	s := f.samples(of)
	s.institutions = nil
	f.writeSamples(of, s)
	f.writeSamples(other, s.of(other))
	var subjects []string
	var want []escrow.ApprovalSubject
	for _, row := range s.subjects {
		if !slices.Contains(subjects, row.Subject) {
			subjects = append(subjects, row.Subject)
		}
		if s.isPending(row) {
			want = append(want, row)
		}
	}
	byName := func(a, b escrow.ApprovalSubject) int { return strings.Compare(a.Name(), b.Name()) }
	for range 3 { // Read, and remembered.
		got, err := f.PendingOn(f.t.Context(), of, append(subjects, "nothing"))
		slices.SortFunc(got, byName)
		slices.SortFunc(want, byName)
		f.compare("what is pending on all subjects", want, got, true, err)
	}
	one, err := f.PendingOn(f.t.Context(), of, subjects[:1])
	for _, row := range one {
		if row.Subject != subjects[0] {
			f.t.Errorf("%+v is pending on %s", row, subjects[0])
		}
	}
	if len(want) < 2 || len(one) == 0 || len(one) == len(want) || err != nil {
		f.t.Errorf("of %d, %d are pending on one subject, %v", len(want), len(one), err)
	}
}

func testDueApprovals(f *fixture) {
	one, other := f.institution(), f.institution()
	if pending, err := f.PendingApprovals(f.t.Context()); pending != (store.PendingApprovals{}) || err != nil {
		f.t.Errorf("of no approvals those that wait are %+v, %v", pending, err)
	}
	now := f.now.Add(time.Hour)
	var want []escrow.DueApproval
	expiry := make(map[escrow.ApprovalID]time.Time)
	for i, overdue := range []time.Duration{time.Second, 0, -time.Microsecond, time.Hour, time.Microsecond} {
		of := pick([]escrow.InstitutionID{one, other}, i)
		f.write(of, escrow.Needs{}, func(b *escrow.Books) {
			for j := range escrow.ApprovalStatuses() {
				a := approvalState(escrow.Approval{
					ID: escrow.ApprovalID(f.uuid()), InstitutionID: of, Maker: escrow.ActorRoot(), ExpiresAt: now.Add(-overdue), CreatedAt: f.moment(), Request: []byte{},
				}, j)
				a.Version, a.UpdatedAt = 1, f.now
				b.Approvals.Put(a.ID, a)
				expiry[a.ID] = a.ExpiresAt
				if overdue >= 0 && a.Status == escrow.ApprovalPending {
					want = append(want, escrow.DueApproval{InstitutionID: of, ApprovalID: a.ID})
				}
			}
		})
	}
	slices.SortFunc(want, func(a, b escrow.DueApproval) int { return expiry[a.ApprovalID].Compare(expiry[b.ApprovalID]) })
	for _, limit := range []int{1, len(want), 1000} {
		got, err := f.DueApprovals(f.t.Context(), now, limit)
		f.compare(fmt.Sprintf("due approvals, at most %d", limit), want[:min(limit, len(want))], got, true, err)
	}
	pending, err := f.PendingApprovals(f.t.Context())
	if err != nil || pending.Count != 5 || pending.Oldest == nil || pending.NextExpiry == nil || !pending.NextExpiry.Equal(now.Add(-time.Hour)) {
		f.t.Errorf("those that wait are %+v, %v", pending, err)
	}
}

// approving is an institution with rules, with a maker and a checker.
type approving struct {
	*fixture

	of             escrow.InstitutionID
	maker, checker escrow.Actor
}

func (f *fixture) approving() approving {
	f.t.Helper()
	return f.approvingIn(f.institution())
}

func (f *fixture) approvingIn(of escrow.InstitutionID) approving {
	f.t.Helper()
	a := approving{fixture: f, of: of}
	key := func(role string) escrow.Actor {
		input := escrow.KeyInput{Label: role, Role: role, Owner: new(role + "@example.com")}
		made := f.do(a.of, valid(escrow.NewCreateKey(input, escrow.HashSecret(fmt.Sprint(a.of, role)))))
		return escrow.ActorKey(resource[escrow.APIKey](made)[0].ID)
	}
	a.maker, a.checker = key("maker"), key("approver")
	return a
}

// rule has the checker approve all commands of some permissions.
func (a approving) rule(on ...string) {
	a.t.Helper()
	rule := escrow.ApprovalRuleInput{ID: "all", On: on, Require: []escrow.RequirementInput{{Role: "approver", Count: 1}}, ExpiresIn: new("1h")}
	a.ask(escrow.ActorRoot(), valid(escrow.NewSetApprovalRules([]escrow.ApprovalRuleInput{rule}, nil)))
}

// ask commits a command on books with all that it turns out to need.
func (a approving) ask(actor escrow.Actor, command escrow.Command) escrow.Resource {
	a.t.Helper()
	r := request(a.of, command)
	r.Actor = actor
	for range 8 {
		a.moment()
		tx := a.begin(needs{a.of: r.Needs()})
		outcome := a.executeRequest(tx.Books(a.of), r)
		if outcome.Lacks != nil {
			tx.Rollback(a.t.Context())
			r = r.With(*outcome.Lacks)
			continue
		}
		if outcome.Refusal != nil {
			a.t.Fatalf("%T was refused: %v", command, outcome.Refusal)
		}
		a.commit(tx)
		return outcome.Resource
	}
	a.t.Fatalf("%T never has all that it needs", command)
	return nil
}

func (a approving) approve(asked escrow.Resource) escrow.Approval {
	a.t.Helper()
	waiting := asked.(escrow.Approval) //nolint:errcheck // A panic fails the test.
	shown := must(waiting.Asked())
	comment := "as Ada is well known"
	decided := a.ask(a.checker, valid(escrow.NewApproveApproval(waiting.ID, shown.Digest.String(), &comment)))
	return decided.(escrow.Approval) //nolint:errcheck // As above.
}

// decideAll has approvals come to every end that there is, and takes the rules away.
func (a approving) decideAll(asset, toClose escrow.AssetID) {
	a.t.Helper()
	a.rule("positions.create")
	ask := func(asset escrow.AssetID) escrow.Approval {
		return a.ask(a.maker, createPosition(asset, "h")).(escrow.Approval) //nolint:errcheck // A panic fails the test.
	}
	a.approve(ask(asset))
	rejected := a.ask(a.checker, valid(escrow.NewRejectApproval(ask(asset).ID, "too much"))).(escrow.Approval) //nolint:errcheck // As above.
	a.ask(escrow.ActorRoot(), valid(escrow.NewEraseApproval(rejected.ID, nil, nil, 0)))
	a.ask(a.maker, escrow.WithdrawApproval{Approval: ask(asset).ID})
	failing := ask(toClose)
	a.ask(escrow.ActorRoot(), escrow.CloseAsset{Asset: toClose})
	a.approve(failing)
	late := ask(asset)
	a.now = late.ExpiresAt
	a.ask(escrow.ActorSystem(), escrow.ExpireApproval{Approval: late.ID})
	a.ask(escrow.ActorRoot(), valid(escrow.NewSetApprovalRules(nil, nil)))
}

// With a position, what is private of the approvals that made and moved it is erased, in their rows and entries.
func testApprovalErasure(f *fixture) {
	a := f.approving()
	asset := f.asset(a.of)
	a.rule("positions.create", "positions.release")
	create := func(holder string) (escrow.PositionID, escrow.ApprovalID) {
		done := a.approve(a.ask(a.maker, valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: "100",
		}))))
		ids := f.positionsOf(a.of, holder)
		if len(ids) != 1 || done.Status != escrow.ApprovalExecuted {
			f.t.Fatalf("there are %v of %s, and the approval is %s", ids, holder, done.Status)
		}
		a.ask(a.maker, transition(ids[0], escrow.StateFunded, ""))
		return ids[0], done.ID
	}
	release := func(id escrow.PositionID) escrow.ApprovalID {
		return a.approve(a.ask(a.maker, transition(id, escrow.StateReleased, "", []byte(`{"final":"Ada"}`)...))).ID
	}
	erased, made := create("Ada Lovelace")
	kept, keptMade := create("Grace Hopper")
	gone, stays := []escrow.ApprovalID{made, release(erased)}, []escrow.ApprovalID{keptMade, release(kept)}

	a.ask(escrow.ActorRoot(), erase(erased, "asked for"))
	hasPrivate := func(id escrow.ApprovalID) (row bool, entries int) {
		for _, entry := range must(f.Entries(f.t.Context(), a.of, escrow.EntryFilter{Subject: id.String()}, everything())).Items {
			if entry.Private != nil {
				entries++
			}
		}
		books := f.load(a.of, escrow.Needs{Approvals: []escrow.ApprovalID{id}})
		loaded, _ := books.Approvals.Get(id)
		read := must(f.Approval(f.t.Context(), a.of, id))
		if (loaded.Private == nil) != (read.Private == nil) {
			f.t.Errorf("the approval %s is read with %q and loaded with %q beside it", id, read.Private, loaded.Private)
		}
		return read.Private != nil, entries
	}
	for _, id := range gone {
		if row, entries := hasPrivate(id); row || entries > 0 {
			f.t.Errorf("of the approval %s private values are left: in the row %t, beside %d entries", id, row, entries)
		}
	}
	for _, id := range stays {
		if row, entries := hasPrivate(id); !row || entries != 2 {
			f.t.Errorf("of the other approval %s there are private values: in the row %t, beside %d entries", id, row, entries)
		}
	}
}

// What an approval has that made nothing is erased with the approval itself, in its row, in its entries, and in what
// tells whose position it asked for; and so is whose position was made, with the position.
func testErasureOfApprovals(f *fixture) {
	a := f.approving()
	asset := f.asset(a.of)
	a.rule("positions.create")
	ask := func(holder string) escrow.Approval {
		asked := a.ask(a.maker, valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: "100",
		})))
		return asked.(escrow.Approval) //nolint:errcheck // A panic fails the test.
	}
	rejected, kept := ask("Ada Lovelace"), ask("Ada Lovelace")
	for _, one := range []escrow.Approval{rejected, kept} {
		a.ask(a.checker, valid(escrow.NewRejectApproval(one.ID, "Ada is not known")))
	}
	made := a.approve(ask("Ada Lovelace"))
	position := f.positionsOf(a.of, "Ada Lovelace")[0]
	a.ask(a.maker, transition(position, escrow.StateCancelled, ""))
	waiting := ask("Ada Lovelace")

	asked := func(holder string) (ids []escrow.ApprovalID) {
		filter := escrow.ApprovalFilter{HolderReference: holder}
		for _, one := range must(f.Approvals(f.t.Context(), a.of, filter, everything())).Items {
			ids = append(ids, one.ID)
		}
		return ids
	}
	holders := func(of escrow.ApprovalID) (holders []string) {
		for _, row := range must(f.SubjectRows(f.t.Context(), a.of, of)) {
			holders = append(holders, row.Resource.(escrow.ApprovalSubject).HolderReference) //nolint:errcheck // A panic fails the test.
		}
		return holders
	}
	equal(f.t, "what was asked for and not made", []escrow.ApprovalID{rejected.ID, kept.ID, waiting.ID}, asked("Ada Lovelace"))
	equal(f.t, "what was asked for another", nil, asked("Grace Hopper"))
	equal(f.t, "whose position was made", []string{"Ada Lovelace"}, holders(made.ID))

	reason := "asked for"
	answered := a.ask(escrow.ActorRoot(), valid(escrow.NewEraseApproval(rejected.ID, &reason, nil, 0))).(escrow.Approval) //nolint:errcheck // As above.
	a.ask(escrow.ActorRoot(), erase(position, "as asked"))
	equal(f.t, "the approval that was erased", answered, must(f.Approval(f.t.Context(), a.of, rejected.ID)))
	equal(f.t, "what is asked for after the erasure", []escrow.ApprovalID{kept.ID, waiting.ID}, asked("Ada Lovelace"))
	for id, want := range map[escrow.ApprovalID]string{rejected.ID: "", made.ID: "", kept.ID: "Ada Lovelace", waiting.ID: "Ada Lovelace"} {
		equal(f.t, "whose position "+id.String()+" asks for", []string{want}, holders(id))
	}
	for id, want := range map[escrow.ApprovalID]int{rejected.ID: 1, made.ID: 0, kept.ID: 2, waiting.ID: 1} {
		entries := must(f.Entries(f.t.Context(), a.of, escrow.EntryFilter{Subject: id.String()}, everything())).Items
		entries = slices.DeleteFunc(entries, func(entry escrow.Entry) bool { return entry.Private == nil })
		row := must(f.Approval(f.t.Context(), a.of, id))
		if len(entries) != want || (row.Private != nil) != (want > 0 && id != rejected.ID) {
			f.t.Errorf("%d entries of %s have private values, want %d, and its row %q", len(entries), id, want, row.Private)
		}
		if id == rejected.ID && entries[0].Kind != escrow.KindApprovalDataErased {
			f.t.Errorf("the entry %s has private values", entries[0].Kind)
		}
	}
}

// callsOfApprovals are those that end with their context.
func (f *fixture) callsOfApprovals(of escrow.InstitutionID, s samples) map[string]func() error {
	ended, end := context.WithCancel(f.t.Context())
	end()
	return map[string]func() error{
		"ApprovalRules":    func() error { _, err := f.ApprovalRules(ended, of); return err },
		"Approval":         func() error { _, err := f.Approval(ended, of, s.approvals[0].ID); return err },
		"Approvals":        func() error { _, err := f.Approvals(ended, of, escrow.ApprovalFilter{}, everything()); return err },
		"DueApprovals":     func() error { _, err := f.DueApprovals(ended, f.now, 1); return err },
		"PendingApprovals": func() error { _, err := f.PendingApprovals(ended); return err },
		"PendingOn":        func() error { _, err := f.PendingOn(ended, of, []string{"s"}); return err },
	}
}

func testApprovalsEndWithTheirContext(f *fixture) {
	of := f.institution()
	s := f.samples(of)
	f.writeSamples(of, s)
	for name, call := range f.callsOfApprovals(of, s) {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			f.t.Errorf("%s with a context that has ended says %v, want %v", name, err, store.ErrUnavailable)
		}
	}
}

func testApprovalLists(f *fixture) {
	of, other := f.institution(), f.institution()
	var s samples
	for i := range 23 {
		at := f.moment()
		a := approvalState(escrow.Approval{
			ID: escrow.ApprovalID(f.uuid()), InstitutionID: of, Maker: escrow.ActorRoot(), ExpiresAt: at, CreatedAt: at, Request: []byte{},
		}, f.random.IntN(3))
		a.Version = 1
		s.approvals = append(s.approvals, a)
		for number := range int64(i % 3) { // A batch can name one twice.
			s.subjects = append(s.subjects, escrow.ApprovalSubject{
				InstitutionID: of, ApprovalID: a.ID, Number: number, Subject: pick([]string{"x", "y"}, i/3), Permission: "p", HolderReference: pick([]string{"", "h", "i", "h"}, i),
			})
		}
	}
	f.write(of, escrow.Needs{}, func(b *escrow.Books) { putApprovals(b, s) })
	f.write(other, escrow.Needs{}, func(b *escrow.Books) { putApprovals(b, s.approvalsOf(other)) })

	at := func(a escrow.Approval) time.Time { return a.CreatedAt }
	period := func(filter *escrow.ApprovalFilter) *escrow.Period { return &filter.Period }
	about := func(a escrow.Approval) bool {
		return slices.ContainsFunc(s.subjects, func(one escrow.ApprovalSubject) bool { return one.ApprovalID == a.ID && one.Subject == "x" })
	}
	checkList(f.t, s.approvals, append(inPeriod(at, s.approvals[5], s.approvals[19], period),
		restriction[escrow.ApprovalFilter, escrow.Approval]{"subject", func(filter *escrow.ApprovalFilter) { filter.Subject = "x" }, about},
		restriction[escrow.ApprovalFilter, escrow.Approval]{
			"holder", func(filter *escrow.ApprovalFilter) { filter.HolderReference = "h" }, func(a escrow.Approval) bool {
				return a.Status != escrow.ApprovalExecuted && slices.ContainsFunc(s.subjects, func(one escrow.ApprovalSubject) bool {
					return one.ApprovalID == a.ID && one.HolderReference == "h"
				})
			},
		},
		restriction[escrow.ApprovalFilter, escrow.Approval]{
			"statuses", func(filter *escrow.ApprovalFilter) {
				filter.Statuses = []escrow.ApprovalStatus{escrow.ApprovalPending, escrow.ApprovalRejected}
			},
			func(a escrow.Approval) bool { return a.Status != escrow.ApprovalExecuted },
		},
	), func(a escrow.Approval) escrow.Cursor { return escrow.IDCursor(a.ID) },
		func(filter escrow.ApprovalFilter, page escrow.PageRequest) (escrow.Page[escrow.Approval], error) {
			return f.Approvals(f.t.Context(), of, filter, page)
		})
}
