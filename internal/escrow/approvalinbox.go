package escrow

import "time"

// What somebody could approve now is told by the same rules as an approval itself, on books that have no more
// than the people who have to do with it.

// CanApprove reports whether who makes a request could approve an approval at a time. The books must have the
// rows that ApproverNeeds names. Whether the actor has the permission to decide at all is not asked.
func (b *Books) CanApprove(r Request, a Approval, at time.Time) bool {
	asked, err := a.Asked()
	if err != nil {
		return false
	}
	b.Approvals.Load(a.ID, a)
	_, refusal := ApproveApproval{approval: a.ID, digest: asked.Digest}.decide(b, r, stamp{at: at})
	return refusal == nil
}

// ApproverNeeds names the keys and users that tell who all are who have to do with an approval, and who makes a
// request, as far as the books have those that are known to be needed: with them it can name more. The identity
// provider and the roles are needed as well.
func (b *Books) ApproverNeeds(r Request, a Approval) Needs {
	actors := append(a.approvers(), r.Actor, a.Maker)
	return Needs{Provider: true, Roles: true, Keys: b.keysBehind(actors...), Users: b.usersBehind(actors...)}
}

// BreaksGlass reports whether the operator has carried a command out with the entry that takes an approval.
func (e Entry) BreaksGlass() bool {
	requested, ok := e.event.(approvalRequested)
	return ok && requested.BreakGlass
}
