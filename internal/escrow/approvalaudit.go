package escrow

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// ApprovalAudit follows a journal from its first entry on. It tells what the journal's head and the recent moves
// must be, as far as they come of approval rules, and finds what was carried out under a rule without the approvals
// that it takes: the rules, the keys and the approvals are in the journal as well, so that whoever writes to the
// database cannot do so unseen.
//
// It holds each entry against the rules by itself: what the parts of a batch come to together, it does not ask. The
// groups of a user stand in no journal, so of users it takes the roles as their approvals name them. Where the
// owner of a key is not known, because it was left out of what is read, the key counts as a person of its own.
//
// Its memory grows with the keys, the users, the roles, who has moved money of late, and the approvals that are
// pending, and not with the journal.
type ApprovalAudit struct {
	books *Books
	// executing is the approval whose entries are read, left what of it has had no entry yet, found how many have,
	// and until the sequence behind the last.
	executing    Approval
	breakGlass   bool
	left         []askedPart
	found, until int64
	run          moveRun
	broken       bool
}

// NewApprovalAudit begins before the first entry of an institution's journal.
func NewApprovalAudit(of InstitutionID) *ApprovalAudit {
	return &ApprovalAudit{books: NewBooks(of, Head{}, true)}
}

// IsOfAudit reports whether an ApprovalAudit must be told of the entry. It need not be of others.
func (e Entry) IsOfAudit() bool {
	_, ruled := e.ruleFacts()
	return ruled || e.Approval != nil || e.Kind.OfPosition() || e.Kind.OfApproval() || isKept(e.Kind)
}

// isKept reports whether entries of a kind tell who is who, and who may do what.
func isKept(kind Kind) bool {
	kept := slices.Concat(keyEventKinds, userEventKinds, providerEventKinds, roleEventKinds, rulesEventKinds)
	return slices.ContainsFunc(kept, func(known eventKind) bool { return known.kind == kind })
}

// AsksForAssets reports whether a rule in force asks for what only the asset of a position tells, so that Next
// must be told of it.
func (a *ApprovalAudit) AsksForAssets() bool {
	rules, _ := a.books.Rules.Get(a.books.institutionID)
	return rules.askForAssets()
}

// Next follows the next entry. Places are those of the assets that AuditPlaces names; they may be left out where
// AsksForAssets is false. The error says what is wrong with the entry, if anything is. It goes on all the same.
func (a *ApprovalAudit) Next(entry Entry, places map[string]AuditPlace) error {
	if entry.Kind.OfApproval() {
		entry.Private = nil // It tells nothing here, and can be erased.
	}
	err := a.checkCarried(entry)
	if err == nil {
		err = a.check(entry, places)
	}
	a.run.follow(a.books, entry)
	if applyErr := a.apply(entry); applyErr != nil {
		a.broken = true
		err = cmp.Or(err, applyErr)
	}
	a.books.Entries = nil
	return err
}

// Broken reports whether an entry could not be applied: what the journal makes of rules and approvals is not known
// then.
func (a *ApprovalAudit) Broken() bool { return a.broken }

// Rules is the sequence of the entry that set the rules in force, 0 where there are none.
func (a *ApprovalAudit) Rules() int64 { return a.books.Head.Rules }

// Pending counts the approvals that are pending.
func (a *ApprovalAudit) Pending() int64 { return a.books.Head.Approvals }

// Moves returns the recent moves, in no order.
func (a *ApprovalAudit) Moves() (moves []RecentMoves) {
	for _, row := range a.books.Moves.All() {
		moves = append(moves, row)
	}
	return moves
}

// checkCarried checks, once its entries are over, that an approval has had as many as it tells.
func (a *ApprovalAudit) checkCarried(entry Entry) error {
	if a.until == 0 || entry.Sequence < a.until {
		return nil
	}
	found, told := a.found, a.executing.Entries
	a.until = 0
	if found != told {
		return fmt.Errorf("before it are %d entries that the approval %s has carried out, and it tells of %d",
			found, a.executing.ID, told)
	}
	return nil
}

func (a *ApprovalAudit) check(entry Entry, places map[string]AuditPlace) error {
	if entry.Approval != nil {
		return a.checkExecution(entry)
	}
	if entry.Sequence < a.until {
		return fmt.Errorf("it does not name the approval %s, whose command is carried out here", a.executing.ID)
	}
	switch e := entry.event.(type) {
	case approvalRequested:
		return a.checkRequested(entry, e, places)
	case approvalGiven:
		return a.checkGiven(entry, e)
	case approvalDataErased:
		if _, pending := a.books.Approvals.Get(e.ID); pending {
			return fmt.Errorf("it erases what is private of the approval %s, which is pending", e.ID)
		}
		return nil
	case positionStateChanged:
		if entry.Actor == ActorSystem() && e.To == StateExpired {
			return nil
		}
	case providerSet:
		if before, _ := a.books.Providers.Get(a.books.institutionID); before.trusts(e.trusted()) {
			return nil // It changes the client's secret alone.
		}
	}

	facts, ok := entry.ruleFacts()
	if !ok {
		return nil
	}
	if entry.Actor == ActorSystem() && a.books.Head.Rules != 0 {
		return errors.New("the system does this of itself, under rules")
	}
	facts = facts.at(places)
	if met := a.run.before(a.books, entry, facts); len(met) > 0 {
		return fmt.Errorf("it takes an approval by the rule %s, and names none", met[0].ID)
	}
	return nil
}

// checkExecution checks an entry that names an approval: that one must be carried out here, with what was asked
// for, of who has asked, and with all the approvals that there are.
func (a *ApprovalAudit) checkExecution(entry Entry) error {
	named := *entry.Approval
	if named.ID != a.executing.ID || entry.Sequence >= a.until {
		return fmt.Errorf("it names the approval %s, which is not carried out here", named.ID)
	}
	a.found++
	if entry.Actor != a.executing.Maker {
		return fmt.Errorf("its actor is %s, and %s has asked for the approval %s",
			entry.Actor, a.executing.Maker, named.ID)
	}
	if by := a.executing.approvers(); !slices.Equal(by, named.By) {
		return fmt.Errorf("it names %v as those who approved %s, and they are %v", named.By, named.ID, by)
	}
	if named.BreakGlass != a.breakGlass {
		return fmt.Errorf("it names the approval %s with breakGlass %t, which is not so", named.ID, named.BreakGlass)
	}

	place := slices.IndexFunc(a.left, func(part askedPart) bool { return part.makes(entry) })
	if place < 0 {
		return fmt.Errorf("it is not what the approval %s was asked for", named.ID)
	}
	a.left = slices.Delete(a.left, place, place+1)
	return nil
}

// checkRequested checks what is asked for: under the rules that are in force, all those that it meets, and for no
// longer than they say. Only the operator breaks the glass.
func (a *ApprovalAudit) checkRequested(entry Entry, e approvalRequested, places map[string]AuditPlace) error {
	if e.BreakGlass && !entry.Actor.IsOperators() {
		return fmt.Errorf("%s breaks the glass", entry.Actor)
	}
	parts, err := e.parts()
	if err != nil {
		return err
	}
	var facts []ruleFacts
	for _, part := range parts {
		facts = append(facts, part.facts.at(places))
	}

	current, _ := a.books.Rules.Get(a.books.institutionID)
	asked := asking{version: current.Version}
	for _, named := range e.Rules {
		place := slices.IndexFunc(current.Rules, func(rule ApprovalRule) bool { return rule.ID == named.ID })
		if place < 0 || named.Version != current.Version || !slices.Equal(named.Require, current.Rules[place].Require) {
			return fmt.Errorf("it names the rule %s, which is not in force like that", named.ID)
		}
		asked.rules = append(asked.rules, current.Rules[place])
	}
	if len(e.Rules) == 0 {
		return errors.New("it names no rule")
	}
	for _, met := range a.books.matching(Request{Actor: entry.Actor}, facts, entry.At) {
		if !slices.ContainsFunc(e.Rules, func(named AppliedRule) bool { return named.ID == met.ID }) {
			return fmt.Errorf("it takes an approval by the rule %s, which it does not name", met.ID)
		}
	}
	if until := asked.request(e.ID, e.Command, entry.At).ExpiresAt; e.ExpiresAt != until {
		return fmt.Errorf("it waits until %s, and the rules say until %s", e.ExpiresAt, until)
	}
	return nil
}

// checkGiven checks an approval: it must be of another person than who has asked, and than all before, who has a
// role that is asked for; and it must be the last if, and only if, it says so.
func (a *ApprovalAudit) checkGiven(entry Entry, given approvalGiven) error {
	approval, ok := a.books.Approvals.Get(given.ID)
	if !ok || approval.Status != ApprovalPending {
		return fmt.Errorf("the approval %s is not pending", given.ID)
	}
	if !entry.At.Before(approval.ExpiresAt) {
		return fmt.Errorf("the approval %s expired before that", given.ID)
	}
	others := append(approval.approvers(), approval.Maker)
	for _, other := range others {
		if a.books.areRelated(entry.Actor, other) {
			return fmt.Errorf("%s approves what counts as its own, beside %s", entry.Actor, other)
		}
		if given.Outcome == ApprovalExecuted && !a.books.hasStanding(other) {
			return fmt.Errorf("%s has lost the right to act since", other)
		}
	}

	asked, err := approval.request()
	if err != nil {
		return err
	}
	for _, role := range given.Roles {
		if !asked.asksFor(role) || !a.hasRole(entry, role) {
			return fmt.Errorf("%s does not approve as %s", entry.Actor, role)
		}
	}
	after := append(slices.Clone(approval.Given), GivenApproval{Roles: given.Roles})
	if isLast := asked.lacking(after) == 0; isLast != (given.Outcome != "") {
		return fmt.Errorf("there are missing %s, and the approval tells the outcome %q",
			describe(asked.missing(after)), given.Outcome)
	}
	return nil
}

// hasRole reports whether the actor of an entry could have a role, with which approvals are decided.
func (a *ApprovalAudit) hasRole(entry Entry, role RoleName) bool {
	b := a.books
	if !permissionsOf(role, b.Roles.Get).Has(PermissionApprovalsDecide) {
		return false
	}
	if entry.Actor.IsUser() {
		return b.isRoleOfGroup(role) && b.hasStanding(entry.Actor)
	}
	key, known := b.Keys.Get(entry.Actor.Key)
	return known && key.Role == role && key.Active(entry.At) && key.Restriction.IsZero()
}

// apply keeps what later entries are held against.
func (a *ApprovalAudit) apply(entry Entry) error {
	b := a.books
	switch e := entry.event.(type) {
	case approvalRequested:
		err := b.append(entry)
		a.begin(e.ID)
		return err

	case approvalGiven, approvalRejected, approvalWithdrawn, approvalExpired, approvalFailed:
		err := b.append(entry)
		if id, idErr := ParseID[approvalKind](entry.Subject); idErr == nil {
			a.begin(id)
		}
		return err

	case positionStateChanged:
		if _, step, ok := entry.PositionEvent(); ok {
			b.noteMove(entry, e.To, step)
		}
		return nil
	}

	if !isKept(entry.Kind) {
		return nil
	}
	err := b.append(entry)
	a.tellOwnersApart(entry)
	return err
}

// tellOwnersApart has a key whose owner is not known be a person's of its own.
func (a *ApprovalAudit) tellOwnersApart(entry Entry) {
	if !slices.Contains(entry.Unknown(), "owner") {
		return
	}
	id, err := ParseID[keyKind](entry.Subject)
	if key, ok := a.books.Keys.Get(id); err == nil && ok {
		key.Owner = "of " + id.String()
		a.books.Keys.Put(id, key)
	}
}

// begin notes that the command of an approval is carried out with the entries that follow, and forgets one that
// has come to its end.
func (a *ApprovalAudit) begin(id ApprovalID) {
	approval, known := a.books.Approvals.Get(id)
	if !known || approval.Status == ApprovalPending {
		return
	}
	asked, err := approval.request()
	a.books.Approvals.forget(id)
	for i := range asked.Subjects {
		a.books.Subjects.forget(ApprovalSubject{ApprovalID: id, Number: int64(i)}.Name())
	}
	if approval.Status != ApprovalExecuted || approval.Entries == 0 {
		return
	}

	a.executing, a.breakGlass = approval, asked.BreakGlass
	a.until, a.found, a.left = approval.Executed+approval.Entries, 0, nil
	if err == nil {
		a.left, _ = asked.parts() // What is wrong with them was found where they were asked for.
	}
}

func moneyOf(step PositionEvent) money.Money {
	return money.Money{Amount: step.Amount, Currency: step.Currency}
}
