package escrow

import (
	"cmp"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// ApproveApproval approves what somebody else asks for. The last approval that is missing carries it out.
type ApproveApproval struct {
	approval ApprovalID
	digest   Digest
	comment  string
}

// NewApproveApproval checks the input. The digest is that of what was shown, in hexadecimal; the comment
// may be nil.
func NewApproveApproval(approval ApprovalID, digest string, comment *string) (ApproveApproval, Faults) {
	var faults Faults
	c := ApproveApproval{approval: approval, comment: faults.optionalText("comment", comment, MaxCommentLength)}
	bits, err := hex.DecodeString(digest)
	if err != nil || copy(c.digest[:], bits) != len(c.digest) || len(bits) != len(c.digest) {
		faults.Add("digest", "must be the digest of the approval, 64 hexadecimal digits")
	}
	return c, faults
}

// RejectApproval ends an approval that is pending, for the operator and for who has a role that it asks for,
// be it that their own approval would not count, or was given: to say no takes no second pair of eyes.
type RejectApproval struct {
	approval ApprovalID
	comment  string
}

// NewRejectApproval checks the input; the comment is required.
func NewRejectApproval(approval ApprovalID, comment string) (RejectApproval, Faults) {
	var faults Faults
	return RejectApproval{approval, faults.reason("comment", comment)}, faults
}

// WithdrawApproval ends an approval that is pending, for who asked for it.
type WithdrawApproval struct{ Approval ApprovalID }

// ExpireApproval is the system's command for an approval that has waited too long.
type ExpireApproval struct{ Approval ApprovalID }

// deciding is a command that decides on an approval.
type deciding interface {
	single
	decides() ApprovalID
}

func (c ApproveApproval) decides() ApprovalID  { return c.approval }
func (c RejectApproval) decides() ApprovalID   { return c.approval }
func (c WithdrawApproval) decides() ApprovalID { return c.Approval }
func (c ExpireApproval) decides() ApprovalID   { return c.Approval }

// Needs implements Command.
func (c ApproveApproval) Needs() Needs { return Needs{Approvals: []ApprovalID{c.approval}} }

// Needs implements Command.
func (c RejectApproval) Needs() Needs { return Needs{Approvals: []ApprovalID{c.approval}} }

// Needs implements Command.
func (c WithdrawApproval) Needs() Needs { return Needs{Approvals: []ApprovalID{c.Approval}} }

// Needs implements Command.
func (c ExpireApproval) Needs() Needs { return Needs{Approvals: []ApprovalID{c.Approval}} }

// permission implements single.
func (ApproveApproval) permission() Permission  { return PermissionApprovalsDecide }
func (RejectApproval) permission() Permission   { return PermissionApprovalsDecide }
func (WithdrawApproval) permission() Permission { return "" } // Who has asked may take it back.
func (ExpireApproval) permission() Permission   { return "" }

// checkRestriction implements confined: a restricted key takes back what it has asked for.
func (c WithdrawApproval) checkRestriction(*Books, Restriction) *Error { return nil }

// pending returns an approval that is pending.
func (b *Books) pending(id ApprovalID, at time.Time) (a Approval, e approvalRequested, refusal *Error) {
	a, ok := b.Approvals.Get(id)
	switch {
	case !ok:
		return a, e, Errorf(CodeApprovalNotFound, "There is no approval %s.", id)
	case a.Status != ApprovalPending:
		return a, e, Errorf(CodeApprovalClosed, "The approval is %s.", a.Status)
	case !at.Before(a.ExpiresAt):
		return a, e, Errorf(CodeApprovalClosed, "The approval expired at %s.", FormatTime(a.ExpiresAt))
	}
	e, err := a.request()
	if err != nil {
		return a, e, Wrap(CodeInternal, err, "The approval cannot be read.")
	}
	return a, e, nil
}

// checkApprover refuses who may not decide on an approval: who has asked, who could be the same person
// as that, or as one who has approved, and who has no role that is asked for. It returns the roles that
// count.
func (b *Books) checkApprover(r Request, a Approval, e approvalRequested) (counting []RoleName, _ *Error) {
	if b.areRelated(r.Actor, a.Maker) {
		return nil, Errorf(CodeApprovalOwn,
			"Nobody approves what they have asked for, nor with a key that they have made, or that has made theirs, "+
				"be it through others.")
	}
	for _, given := range a.Given {
		if b.areRelated(r.Actor, given.Actor) {
			return nil, Errorf(CodeApprovalOwn, "You have approved this, or a key that counts as yours has.")
		}
	}

	return b.countingRoles(r, a, e)
}

// countingRoles returns the roles of who decides that are asked for, or refuses who has none of them.
func (b *Books) countingRoles(r Request, a Approval, e approvalRequested) (counting []RoleName, _ *Error) {
	for _, role := range b.rolesOf(r) {
		if e.asksFor(role) {
			counting = append(counting, role)
		}
	}
	if len(counting) == 0 {
		return nil, Errorf(CodeApprovalRole, "This takes an approval of the roles: %s.", describe(e.missing(a.Given)))
	}
	return counting, nil
}

// asksFor reports whether a rule asks for somebody of a role.
func (e approvalRequested) asksFor(role RoleName) bool {
	return slices.ContainsFunc(e.Rules, func(rule AppliedRule) bool {
		return slices.ContainsFunc(rule.Require, func(required RuleRequirement) bool { return required.Role == role })
	})
}

// describe lists requirements for people.
func describe(required []RuleRequirement) string {
	roles := make([]string, len(required))
	for i, one := range required {
		roles[i] = fmt.Sprintf("%s (%d)", one.Role, one.Count)
	}
	return join(roles)
}

// decide implements single; see Books.approve, which carries an approval out.
func (c ApproveApproval) decide(b *Books, r Request, s stamp) (event, *Error) {
	a, e, refusal := b.pending(c.approval, s.at)
	if refusal != nil {
		return nil, refusal
	}
	asked, err := newAskedApproval(e, a.InstitutionID)
	if err != nil {
		return nil, Wrap(CodeInternal, err, "The approval cannot be read.")
	}
	if subtle.ConstantTimeCompare(asked.Digest[:], c.digest[:]) != 1 {
		// It does not tell which: whoever approves is to read what they sign.
		return nil, Errorf(CodeApprovalDigest, "The digest is not that of what is asked for; read the approval again.")
	}

	roles, refusal := b.checkApprover(r, a, e)
	if refusal != nil {
		return nil, refusal
	}
	after := append(slices.Clone(a.Given), GivenApproval{Roles: roles})
	if e.lacking(after) == e.lacking(a.Given) {
		return nil, Errorf(CodeApprovalRole, "The approvals that are missing are of the roles: %s.",
			describe(e.missing(a.Given)))
	}
	given := approvalGiven{ID: c.approval, Roles: roles, Comment: textMember(c.comment)}
	if e.lacking(after) == 0 {
		given.Outcome = ApprovalExecuted
	}
	return given, nil
}

// approve takes an approval. With the last one the command is carried out right behind it, or the
// approval has failed.
func (b *Books) approve(r Request, c ApproveApproval, s Stamp) (Outcome, error) {
	at := b.nextMoment(s.Now)
	decided, refusal := c.decide(b, r, stamp{at: at})
	if refusal != nil {
		return Outcome{Refusal: refusal}, nil //nolint:nilerr // A refusal is an outcome.
	}
	given := decided.(approvalGiven) //nolint:errcheck,forcetypeassert // It makes no other.
	stamps := s.divide()
	if given.Outcome == "" {
		return b.record(r, given, at, stamps[0])
	}

	carried, failed := b.makersRequest(b.Approvals.mustGet(c.approval), r)
	if failed == nil {
		recorded, outcome, err := b.recordAndCarryOut(r, func(entries int64) event {
			given.Entries = entries
			return given
		}, carried, s)
		if err != nil || outcome.Refusal == nil {
			return recorded, err
		}
		failed = outcome.Refusal
	}

	given.Outcome, given.Entries = ApprovalFailed, 0
	if _, err := b.record(r, given, at, stamps[0]); err != nil {
		return Outcome{}, err
	}
	return b.record(r, approvalFailed{ID: c.approval, Refusal: refusalOf(failed)}, b.nextMoment(s.Now), stamps[1])
}

// refusalOf returns why a command failed; of a batch, why its first item did.
func refusalOf(failed *Error) ApprovalRefusal {
	for i, item := range failed.Items {
		if item != nil {
			return ApprovalRefusal{Code: item.Code, Detail: fmt.Sprintf("Item %d of the batch: %s", i, item.Detail)}
		}
	}
	return ApprovalRefusal{Code: failed.Code, Detail: failed.Detail}
}

// makersRequest is the request with which an approved command is carried out: that of its maker. It is
// refused where the maker could not ask for it any more, or one who has approved it has lost the right to
// act since.
func (b *Books) makersRequest(a Approval, r Request) (Request, *Error) {
	command, err := a.command()
	if err != nil {
		return Request{}, Errorf(CodeApprovalClosed,
			"What was asked for cannot be read any more: it was erased in part.")
	}
	command, refusal := b.withWaitingSecret(command)
	if refusal != nil {
		return Request{}, refusal
	}
	carried := Request{
		Institution: r.Institution,
		Actor:       a.Maker,
		RequestID:   r.RequestID,
		Command:     command,
		approval:    &EntryApproval{ID: a.ID, By: append(a.approvers(), r.Actor)},
		rights:      b.rightsOfMaker(a.Maker),
	}

	for _, actor := range append(a.approvers(), a.Maker) {
		switch stands, followed := b.standing(actor); {
		case !followed:
			return carried, Errorf(CodeForbidden,
				"%s was rotated more than %d times since, and is not followed any further.", actor, maxRotations)
		case !stands:
			return carried, Errorf(CodeForbidden, "%s has lost the right to act since.", actor)
		}
	}
	return carried, cmp.Or(b.checkRights(carried.rights, command), b.checkOpen(command))
}

// rightsOfMaker returns what a maker may do now. That of a user is what it was: the groups are known only
// while somebody asks.
func (b *Books) rightsOfMaker(maker Actor) Rights {
	if key, ok := b.Keys.Get(maker.Key); ok {
		return RightsOfKey(key, b.Roles.Get)
	}
	return AllRights()
}

func (c RejectApproval) decide(b *Books, r Request, s stamp) (event, *Error) {
	a, e, refusal := b.pending(c.approval, s.at)
	if refusal != nil {
		return nil, refusal
	}
	if !r.Actor.IsOperators() {
		if _, refusal := b.countingRoles(r, a, e); refusal != nil {
			return nil, refusal
		}
	}
	return approvalRejected{ID: c.approval, Comment: textMember(c.comment)}, nil
}

func (c WithdrawApproval) decide(b *Books, r Request, s stamp) (event, *Error) {
	a, _, refusal := b.pending(c.Approval, s.at)
	if refusal != nil {
		return nil, refusal
	}
	if !b.isSame(r.Actor, a.Maker) {
		return nil, Errorf(CodeForbidden, "Only who has asked for an approval can withdraw it; others reject it.")
	}
	return approvalWithdrawn{ID: c.Approval}, nil
}

func (c ExpireApproval) decide(b *Books, r Request, s stamp) (event, *Error) {
	a, ok := b.Approvals.Get(c.Approval)
	switch {
	case !ok:
		return nil, Errorf(CodeApprovalNotFound, "There is no approval %s.", c.Approval)
	case r.Actor != ActorSystem():
		return nil, Errorf(CodeForbidden, "Approvals expire by themselves.")
	case a.Status != ApprovalPending:
		return nil, Errorf(CodeApprovalClosed, "The approval is %s.", a.Status)
	case s.at.Before(a.ExpiresAt):
		return nil, Errorf(CodeApprovalClosed, "The approval is not due to expire.")
	}
	return approvalExpired{ID: c.Approval}, nil
}
