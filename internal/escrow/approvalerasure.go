package escrow

import (
	"fmt"
	"slices"
	"time"
)

// EraseApproval erases what is private of an approval that has come to its end: of the command that was asked
// for, the comments, and why the glass was broken, in its row and in all of its entries. What was asked for
// and never made has no position with which that would go. Who has asked and decided, when and with what
// outcome stays, and so does the proof of every entry. To erase what is erased takes the reason of that away, and
// after that changes nothing: an approval has two erasures at most.
type EraseApproval struct {
	approval  ApprovalID
	reason    string
	ifVersion []int64
	retention time.Duration
}

// NewEraseApproval checks the input. The reason may be nil; it is private, too. The retention is how long an
// approval is kept after its last change. The versions are those that the approval may have; nil is any.
func NewEraseApproval(
	approval ApprovalID, reason *string, ifVersion []int64, retention time.Duration,
) (EraseApproval, Faults) {
	var faults Faults
	command := EraseApproval{
		approval:  approval,
		reason:    faults.optionalText("reason", reason, MaxReasonLength),
		ifVersion: ifVersion,
		retention: retention,
	}
	return command, faults
}

// Erases names the approval.
func (c EraseApproval) Erases() ApprovalID { return c.approval }

// Needs implements Command.
func (c EraseApproval) Needs() Needs { return Needs{Approvals: []ApprovalID{c.approval}} }

// permission implements single.
func (EraseApproval) permission() Permission { return PermissionPositionsErase }

// checkRestriction implements confined.
func (c EraseApproval) checkRestriction(b *Books, within Restriction) *Error {
	if a, ok := b.Approvals.Get(c.approval); !ok || !b.seesApproval(within, a) {
		return Errorf(CodeApprovalNotFound, "There is no approval %s.", c.approval)
	}
	return nil
}

// seesApproval reports whether an approval is for a restricted key: where it asks for nothing but positions that
// would have been for it. The assets that the approval names are only known where they were asked for.
func (b *Books) seesApproval(within Restriction, a Approval) bool {
	if !within.IsNarrow() {
		return true
	}
	e, err := a.request()
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(e.forms(), func(part form) bool {
		f, creates := part.(createPositionForm)
		return !creates || !b.sees(within, Position{AssetID: f.AssetID, HolderReference: f.HolderReference.value})
	})
}

// The refusals come in this order: the approval, its version, its status, its retention.
func (c EraseApproval) decide(b *Books, _ Request, s stamp) (event, *Error) {
	a, ok := b.Approvals.Get(c.approval)
	if !ok {
		return nil, Errorf(CodeApprovalNotFound, "There is no approval %s.", c.approval)
	}
	if refusal := checkVersion(c.ifVersion, a.Version, "approval"); refusal != nil {
		return nil, refusal
	}

	switch until := a.ErasableFrom(c.retention); {
	case a.Status == ApprovalPending:
		return nil, Errorf(CodeApprovalOpen,
			"The approval is %s. What is private of it can be erased once it has come to an end.", a.Status)
	case a.ErasedAt == nil && s.at.Before(until):
		return nil, Errorf(CodeRetentionPeriod,
			"The approval was last changed at %s, and is kept until %s.", FormatTime(a.UpdatedAt), FormatTime(until))
	case a.ErasedAt != nil && !a.ErasureReason:
		return unchanged{name: c.approval.String(), state: a}, nil
	}

	e := approvalDataErased{ID: c.approval, Entries: a.Version}
	if a.ErasedAt == nil {
		e.Reason = textMember(c.reason)
	}
	return e, nil
}

// ErasableFrom returns when an approval that is final can be erased, where it is kept for a time after its last
// change.
func (a Approval) ErasableFrom(retention time.Duration) time.Time { return a.UpdatedAt.Add(retention) }

// KindApprovalDataErased is the kind of an entry with which what was private of an approval was erased.
const KindApprovalDataErased Kind = "APPROVAL_DATA_ERASED"

// approvalDataErased says that the private values of the approval's entries before it were erased. The reason is
// not among them.
type approvalDataErased struct {
	ID ApprovalID `json:"id"`
	// Entries is how many entries the approval had.
	Entries int64       `json:"entries"`
	Reason  privateText `json:"reason,omitzero"`
}

// withPrivate implements personal.
func (e approvalDataErased) withPrivate(each func(name string, member *private)) event {
	each("reason", &e.Reason.private)
	return e
}

func (e approvalDataErased) kind() Kind      { return KindApprovalDataErased }
func (e approvalDataErased) subject() string { return e.ID.String() }
func (e approvalDataErased) rewrites() Needs { return Needs{Approvals: []ApprovalID{e.ID}} }

func (e approvalDataErased) resource(b *Books, _ Entry) Resource { return b.Approvals.mustGet(e.ID) }

func (e approvalDataErased) apply(b *Books, entry Entry) error {
	a, ok := b.Approvals.Get(e.ID)
	if !ok || a.Status == ApprovalPending || a.Version != e.Entries {
		return fmt.Errorf("approval %s has not come to an end with %d entries", e.ID, e.Entries)
	}

	a.Private, a.ErasedAt, a.ErasureReason = nil, &entry.At, e.Reason.value != ""
	a.Version++
	a.UpdatedAt = entry.At
	b.Approvals.Put(e.ID, a)
	return nil
}

// CreatedFor returns what the approval asks for of one holder's new positions, as AskedApproval.Command has it: of
// a batch those items alone, as others are of others. It is nil where it asks for none, or that was erased.
func (a Approval) CreatedFor(holder string) ([]byte, error) {
	e, err := a.request()
	if err != nil {
		return nil, err
	}
	isOfHolder := func(written writtenCommand) bool { return holder != "" && holderOf(written.form) == holder }

	batch, isBatch := e.Command.form.(batchForm)
	switch {
	case isBatch:
		items := slices.Clone(batch.Items)
		batch.Items = slices.DeleteFunc(items, func(item writtenCommand) bool { return !isOfHolder(item) })
		if len(batch.Items) == 0 {
			return nil, nil
		}
		e.Command = writtenCommand{batch}
	case !isOfHolder(e.Command):
		return nil, nil
	}
	return e.shownCommand()
}

// CreatedOn lists the assets of the positions that the approval asks for.
func (a Approval) CreatedOn() (assets []AssetID, err error) {
	e, err := a.request()
	if err != nil {
		return nil, err
	}
	for _, part := range e.forms() {
		if f, creates := part.(createPositionForm); creates {
			assets = append(assets, f.AssetID)
		}
	}
	return distinctIDs(assets), nil
}

// forms returns the written forms of the parts of what is asked for: of the whole of it, or of each item of its
// batch.
func (e approvalRequested) forms() []form {
	batch, isBatch := e.Command.form.(batchForm)
	if !isBatch {
		return []form{e.Command.form}
	}
	forms := make([]form, len(batch.Items))
	for i, item := range batch.Items {
		forms[i] = item.form
	}
	return forms
}

// holderOf returns the holder of the position that a written command creates; empty where it creates none, or
// that was erased.
func holderOf(written form) string {
	f, _ := written.(createPositionForm)
	return f.HolderReference.value
}
