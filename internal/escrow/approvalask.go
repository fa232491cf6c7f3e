package escrow

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// This file asks for approvals.

// MaxPendingApprovals bounds the approvals of an institution that are pending: far more than people decide
// on in the time that they wait.
const MaxPendingApprovals = 10_000

// ReadBreakGlass checks why the operator does not wait for an approval; see Request.BreakGlass.
func ReadBreakGlass(reason string) (string, Faults) {
	var faults Faults
	reason = faults.reason("breakGlass.reason", reason)
	return reason, faults
}

// asking is what a command takes before it is carried out.
type asking struct {
	rules   []ApprovalRule
	version int64
	facts   []ruleFacts
}

// approvalFor returns what a request takes before it is carried out, nil where that is nothing, or refuses
// one that meets an approval that is pending.
func (b *Books) approvalFor(r Request, at time.Time, s Stamp) (*asking, *Error, error) {
	if r.Actor == ActorSystem() || b.Head.Rules == 0 && b.Head.Approvals == 0 {
		return nil, nil, nil
	}

	facts, err := b.factsOf(r, s)
	if err != nil || len(facts) == 0 {
		return nil, nil, err
	}
	pending := b.pendingSubjects()
	if refusal := b.checkReserved(facts, pending); refusal != nil {
		return nil, refusal, nil
	}
	rules := b.matching(r, facts, at)
	if len(rules) == 0 {
		return nil, nil, nil
	}

	for _, f := range facts {
		for _, s := range pending[f.subject] {
			if s.Permission == f.permission {
				return nil, approvalPending("%s waits for the approval %s already.", f.subject, s.ApprovalID), nil
			}
		}
	}
	if b.Head.Approvals >= MaxPendingApprovals && r.BreakGlass == "" {
		return nil, Errorf(CodeApprovalLimit,
			"The institution has %d approvals that are pending, which is the most.", b.Head.Approvals), nil
	}
	current, _ := b.Rules.Get(b.institutionID)
	return &asking{rules: rules, version: current.Version, facts: facts}, nil, nil
}

func approvalPending(format string, args ...any) *Error {
	return Errorf(CodeApprovalPending, format, args...)
}

// pendingSubjects returns the subjects of pending approvals that the books have, by their names.
func (b *Books) pendingSubjects() map[string][]ApprovalSubject {
	if b.Head.Approvals == 0 {
		return nil
	}

	pending := make(map[string][]ApprovalSubject)
	for _, s := range b.Subjects.All() {
		if s.Subject == "" {
			continue // Of what is only made once it is approved there can be any number.
		}
		// It was pending when it was loaded; what became of it since, the approval tells.
		if approval, known := b.Approvals.Get(s.ApprovalID); !known || approval.Status == ApprovalPending {
			pending[s.Subject] = append(pending[s.Subject], s)
		}
	}
	for _, subjects := range pending {
		slices.SortFunc(subjects, func(a, b ApprovalSubject) int {
			return cmp.Or(a.ApprovalID.Compare(b.ApprovalID), cmp.Compare(a.Number, b.Number))
		})
	}
	return pending
}

// checkReserved refuses to move what pending approvals ask for, all that is asked of a position together.
func (b *Books) checkReserved(facts []ruleFacts, pending map[string][]ApprovalSubject) *Error {
	asked := make(map[string]money.Amount)
	for _, f := range facts {
		if !f.holds || f.amount.Amount == 0 || len(pending[f.subject]) == 0 {
			continue
		}
		id, err := ParseID[positionKind](f.subject)
		p, known := b.Positions.Get(id)
		if err != nil || !known {
			continue
		}

		var reserved money.Amount
		var by ApprovalID
		for _, s := range pending[f.subject] {
			if s.Holds && s.Amount.Amount > 0 {
				reserved, by = addCapped(reserved, s.Amount.Amount), s.ApprovalID
			}
		}
		asked[f.subject] = addCapped(asked[f.subject], f.amount.Amount)
		if reserved > 0 && asked[f.subject] > p.Held-reserved {
			return approvalPending("Of the %s %s that %s holds, %s wait for an approval, %s.",
				p.Held.Format(p.Currency), p.Currency, p.ID, reserved.Format(p.Currency), by)
		}
	}
	return nil
}

// ask asks for the approval of a request, once it is known that it would be accepted; or has the operator
// who breaks the glass carry it out at once.
func (b *Books) ask(r Request, a asking, s Stamp) (Outcome, error) {
	if r.BreakGlass != "" && !r.Actor.IsOperators() {
		return Outcome{Refusal: Errorf(CodeBreakGlassForbidden, "Only the operator can break the glass.")}, nil
	}
	r.Command = whole(r.Command)
	written, ok := writtenOf(r.Command)

	before := b.save()
	tried, err := b.carryOutNow(r, b.nextMoment(s.Now), s)
	if err != nil {
		return Outcome{}, err
	}
	entries := len(b.Entries) - before.entries
	b.rollBack(before)
	switch {
	case tried.Refusal != nil, entries == 0: // It changes nothing, so nothing is to be approved.
		return tried, nil //nolint:nilerr // A refusal is an outcome.
	case !ok:
		return Outcome{}, fmt.Errorf("%T cannot wait for approval", r.Command)
	}

	stamps, at := s.divide(), b.nextMoment(s.Now)
	e := a.request(ApprovalID(NewUUID(at, stamps[0].Random[0])), written, at)
	if r.BreakGlass == "" {
		return b.record(r, e, at, stamps[0])
	}
	carried := r
	carried.approval = &EntryApproval{ID: e.ID, BreakGlass: true}
	_, outcome, err := b.recordAndCarryOut(r, func(entries int64) event {
		e.BreakGlass, e.Reason, e.Entries = true, textMember(r.BreakGlass), entries
		return e
	}, carried, s)
	return outcome, err
}

// whole returns a command of which all is carried out, or nothing: nobody approves what may become a part.
func whole(command Command) Command {
	if batch, ok := command.(PositionBatch); ok {
		batch.atomic = true
		return batch
	}
	return command
}

// recordAndCarryOut records an event that tells how many entries follow, and carries a request out, whose
// entries these are. Where the request is refused, neither happens. It returns what became of both.
func (b *Books) recordAndCarryOut(
	r Request, first func(entries int64) event, carried Request, s Stamp,
) (recorded, outcome Outcome, err error) {
	stamps := s.divide()
	run := func(entries int64) (recorded, outcome Outcome, own int64, err error) {
		recorded, err = b.record(r, first(entries), b.nextMoment(s.Now), stamps[0])
		if err != nil {
			return recorded, outcome, 0, err
		}
		before := len(b.Entries)
		outcome, err = b.carryOutNow(carried, b.nextMoment(s.Now), stamps[1])
		return recorded, outcome, int64(len(b.Entries) - before), err
	}

	// How many entries there will be is known once they are made, so they are made twice: at the same
	// moments, and so alike.
	before := b.save()
	_, outcome, entries, err := run(0)
	if err != nil {
		return Outcome{}, Outcome{}, err
	}
	b.rollBack(before)
	if outcome.Refusal != nil {
		return Outcome{}, outcome, nil //nolint:nilerr // A refusal is an outcome.
	}

	recorded, outcome, again, err := run(entries)
	if err == nil && (outcome.Refusal != nil || again != entries) {
		err = errors.New("a request became another when it was carried out a second time")
	}
	return recorded, outcome, err
}

// request is the event that asks for what is asked.
func (a asking) request(id ApprovalID, written writtenCommand, at time.Time) approvalRequested {
	e := approvalRequested{ID: id, Command: written}
	term := MaxApprovalTerm
	for _, rule := range a.rules {
		e.Rules = append(e.Rules, AppliedRule{ID: rule.ID, Version: a.version, Require: rule.Require})
		term = min(term, time.Duration(rule.ExpiresIn))
	}
	e.ExpiresAt = FormatTime(at.Add(term))

	for _, f := range a.facts {
		about := subjectState{Subject: f.subject, Permission: f.permission, Holds: f.holds}
		if f.amount.Amount > 0 {
			about.Currency, about.Amount = f.amount.Currency.Code, f.amount.Format()
		}
		e.Subjects = append(e.Subjects, about)
	}
	return e
}

// divide makes two stamps of one, for two commands that are carried out together.
func (s Stamp) divide() (parts [2]Stamp) {
	random := randomOf(s)
	for i := range parts {
		parts[i] = Stamp{
			Now: s.Now, Random: [2]uint64{random.Uint64(), random.Uint64()}, Secret: s.Secret.OfItem(i),
		}
	}
	return parts
}
