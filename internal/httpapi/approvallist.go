package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// approvalQuery is the parameters of the list of approvals.
type approvalQuery struct {
	listQuery
	tenantQuery
	Status     []string `query:"status" doc:"Only those in one of these states." words:"approvalStatuses" maxItems:"30"`
	For        string   `query:"for" doc:"me lists what waits and the caller can approve now." enum:"me"`
	Subject    string   `query:"subject" doc:"Only what is about this resource: its id, policy/ and a region, role/ and a name, identity-provider, or approval-rules."`
	BreakGlass bool     `query:"breakGlass" doc:"true lists only what the operator has not waited for." default:"false"`
}

// inboxQuery is the parameters of what the caller can approve.
type inboxQuery struct {
	pageQuery
	tenantQuery
}

var listApprovalsOperation = operation{
	Operation: web.Operation{
		ID: "listApprovals", Tag: "Approvals", Summary: "List approvals",
		Query: approvalQuery{}, Answer: listView[ApprovalView]{},
	},
}

// listApprovals answers an institution's approvals in the order in which they were asked for. A page of some
// of them looks at a bounded number: it can be short, and go on.
func (s *server) listApprovals(c *call) (reply, error) {
	query := queryOf[approvalQuery](c)
	list := query.read(&c.faults, "approvals")
	filter := escrow.ApprovalFilter{
		Period:  list.period,
		Subject: query.Subject,
	}
	filter.Statuses = wordsOf(
		&c.faults, "status", query.Status, escrow.ApprovalStatuses(), "must be a state of an approval")
	if query.For != "" && (len(query.Status) > 0 || query.BreakGlass) {
		c.faults.Add("for", "is for what waits: it takes no status and no breakGlass")
	}
	sieve := engine.ApprovalSieve{ForActor: query.For != "", BreakGlass: query.BreakGlass}
	return c.listedApprovals(list, filter, sieve)
}

var getInboxOperation = operation{
	Operation: web.Operation{
		ID: "getInbox", Tag: "Approvals", Summary: "List what one can approve now",
		Query: inboxQuery{}, Answer: listView[ApprovalView]{},
	},
}

// getInbox answers what waits and the caller can approve now.
func (s *server) getInbox(c *call) (reply, error) {
	list := queryOf[inboxQuery](c).read(&c.faults, "approvals")
	return c.listedApprovals(list, escrow.ApprovalFilter{}, engine.ApprovalSieve{ForActor: true})
}

// listedApprovals answers a page of approvals.
func (c *call) listedApprovals(
	list listRequest, filter escrow.ApprovalFilter, sieve engine.ApprovalSieve,
) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	request := c.requestOn(institution)
	if sieve.ForActor && !c.caller.rights.Permissions.Has(escrow.PermissionApprovalsDecide) {
		return listed(list, escrow.Page[escrow.Approval]{}, listedApproval, approvalCursor), nil
	}

	approvals, err := c.server.engine.SievedApprovals(c.context(), request, filter, sieve, list.page)
	return listed(list, approvals, listedApproval, approvalCursor), err
}

// approvalCursor is an approval's place in a list.
func approvalCursor(a escrow.Approval) escrow.Cursor { return escrow.IDCursor(a.ID) }

// listedApproval shows an approval in a list. What cannot be read, which no server writes, is shown without
// what is asked for: the others are there to be decided on.
func listedApproval(a escrow.Approval) ApprovalView {
	view, err := viewApproval(a)
	if err != nil {
		view.ID, view.InstitutionID, view.Status = a.ID, a.InstitutionID, a.Status
	}
	return view
}

var getApprovalOperation = operation{
	Operation: web.Operation{
		ID: "getApproval", Tag: "Approvals", Summary: "Get an approval",
		Query: tenantQuery{}, Answer: ApprovalView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeApprovalNotFound},
}

// getApproval answers one approval, with what was said about it.
func (s *server) getApproval(c *call) (reply, error) {
	approval, err := c.approvalInPath()
	if err != nil {
		return reply{}, err
	}

	return c.conditional(approval.Version, func() (reply, error) {
		view, err := viewApproval(approval)
		if err == nil {
			err = c.addComments(&view)
		}
		return ok(view), err
	})
}

// seesAllApprovals reports whether the caller sees what others have asked for.
func (c *call) seesAllApprovals() bool {
	return c.checkSeesApprovals() == nil && !c.caller.rights.Restriction.IsNarrow()
}

func (c *call) checkSeesApprovals() error {
	return c.caller.rights.Permissions.CheckPermission(escrow.PermissionApprovalsRead)
}

// approvalInPath returns the approval that the path names, to who may see it: of all of the institution's, or of
// those that they have asked for. One that is hidden is refused like one that is not there.
func (c *call) approvalInPath() (escrow.Approval, error) {
	approval, err := c.pathApproval()
	if c.seesAllApprovals() || err == nil && approval.Maker == c.caller.actor() {
		return approval, err
	}
	missing := escrow.Errorf(escrow.CodeApprovalNotFound, "There is no such approval.")
	if err == nil || escrow.ErrorCode(err) == escrow.CodeApprovalNotFound {
		err = missing
	}
	return escrow.Approval{}, cmp.Or(c.checkSeesApprovals(), err)
}

func (c *call) pathApproval() (escrow.Approval, error) {
	institution, err := c.institution()
	if err != nil {
		return escrow.Approval{}, err
	}
	id, err := pathID[escrow.ApprovalID](c, "id", escrow.CodeApprovalNotFound)
	if err != nil {
		return escrow.Approval{}, err
	}
	return c.server.engine.Approval(c.context(), institution, id)
}

// addComments adds what checkers have said, which the journal alone has.
func (c *call) addComments(view *ApprovalView) error {
	said, err := c.saidAbout(view.InstitutionID, view.ID)
	if err != nil {
		return err
	}
	view.Rejection, view.Erased = said.rejection, view.Erased || said.erased
	said.addTo(view.Approvals)
	return nil
}

// said is what the journal alone tells of an approval.
type said struct {
	// comments are those of the approvals that were given, in their order.
	comments  []string
	rejection *rejectionView
	// erased says that something that was said was erased.
	erased bool
}

// addTo adds the comments to the approvals that were given.
func (s said) addTo(given []givenApprovalView) {
	for i := range min(len(given), len(s.comments)) {
		given[i].Comment = s.comments[i]
	}
}

// saidAbout reads what checkers have said. The journal has no more entries on an approval than there can be
// approvals, and four.
func (c *call) saidAbout(of escrow.InstitutionID, id escrow.ApprovalID) (about said, err error) {
	page := escrow.PageRequest{Limit: escrow.MaxPageSize}
	entries, err := c.server.engine.Entries(c.context(), of, escrow.EntryFilter{Subject: id.String()}, page)
	if err != nil {
		return about, err
	}

	for _, entry := range entries.Items {
		var event struct {
			Comment string `json:"comment"`
		}
		details, err := entry.Details()
		if err == nil {
			err = json.Unmarshal(details, &event)
		}
		if err != nil {
			return about, fmt.Errorf("read what was said about %s: %w", id, err)
		}

		if entry.Kind == escrow.KindApprovalRejected {
			about.rejection = &rejectionView{Actor: entry.Actor, At: timestamp(entry.At), Comment: event.Comment}
		}
		if entry.Kind == escrow.KindApprovalGiven {
			about.comments = append(about.comments, event.Comment)
		}
		about.erased = about.erased || len(entry.Unknown()) > 0
	}
	return about, nil
}
