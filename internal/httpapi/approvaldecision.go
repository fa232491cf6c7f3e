package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// approveBody approves what was shown.
type approveBody struct {
	Digest  string  `json:"digest" doc:"That of the approval that was shown." pattern:"^[0-9a-f]{64}$"`
	Comment *string `json:"comment,omitempty" doc:"It is private." limit:"reason" example:"Checked against the architect's report"`
}

// rejectBody says why not.
type rejectBody struct {
	Comment string `json:"comment" doc:"Why not; it is private." limit:"reason" example:"The invoice was paid before"`
}

var approveOperation = operation{
	Operation: web.Operation{
		ID: "approve", Tag: "Approvals", Summary: "Approve what somebody else asks for",
		Query: tenantQuery{}, Body: approveBody{}, BodyExample: approveExample, Answer: ApprovalView{},
		AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{
		escrow.CodeApprovalNotFound, escrow.CodeApprovalClosed, escrow.CodeApprovalDigest, escrow.CodeApprovalOwn,
		escrow.CodeApprovalRole,
	},
}

// approve approves. With the last approval that is missing, the command is carried out, or has failed.
func (s *server) approve(c *call) (reply, error) {
	id := subjectID[escrow.ApprovalID](c, "id", escrow.CodeApprovalNotFound)
	body := bodyOf[approveBody](c)
	return c.decide(escrow.NewApproveApproval(id, body.Digest, body.Comment))
}

var rejectOperation = operation{
	Operation: web.Operation{
		ID: "reject", Tag: "Approvals", Summary: "Reject what somebody asks for",
		Query: tenantQuery{}, Body: rejectBody{}, BodyExample: rejectExample, Answer: ApprovalView{},
		AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeApprovalNotFound, escrow.CodeApprovalClosed, escrow.CodeApprovalRole},
}

// reject ends an approval for good.
func (s *server) reject(c *call) (reply, error) {
	id := subjectID[escrow.ApprovalID](c, "id", escrow.CodeApprovalNotFound)
	return c.decide(escrow.NewRejectApproval(id, bodyOf[rejectBody](c).Comment))
}

var withdrawOperation = operation{
	Operation: web.Operation{
		ID: "withdraw", Tag: "Approvals", Summary: "Withdraw what one has asked for",
		Query: tenantQuery{}, Answer: ApprovalView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeApprovalNotFound, escrow.CodeApprovalClosed, escrow.CodeForbidden},
}

// withdraw ends an approval for who has asked for it. To others who may not see it, it is not there.
func (s *server) withdraw(c *call) (reply, error) {
	id := subjectID[escrow.ApprovalID](c, "id", escrow.CodeApprovalNotFound)
	if !c.seesAllApprovals() {
		if _, err := c.approvalInPath(); err != nil {
			return reply{}, err
		}
	}
	return c.decide(escrow.WithdrawApproval{Approval: id}, nil)
}

// decide carries out a decision on an approval.
func (c *call) decide(command escrow.Command, faults escrow.Faults) (reply, error) {
	approval, err := execute[escrow.Approval](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	view, err := viewApproval(approval)
	return ok(view).tagged(approval.Version), err
}
