package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// approvalRoutes are the routes of what takes the approval of others. They go on with the table of routes.
func (s *server) approvalRoutes() []route {
	return []route{
		{
			pattern: "PUT /institutions/{id}/approval-rules",
			access:  takes(escrow.PermissionRulesSet), tenant: inPath,
			handle: s.setApprovalRules, operation: setApprovalRulesOperation,
		},
		{
			pattern: "GET /institutions/{id}/approval-rules",
			access:  takes(escrow.PermissionApprovalsRead), tenant: existingInPath,
			handle: s.getApprovalRules, operation: getApprovalRulesOperation,
		},

		// What waits concerns the whole institution, but who has asked for something sees it.
		{
			pattern: "GET /approvals",
			access:  takesWhole(escrow.PermissionApprovalsRead), tenant: existingNamed, large: true,
			handle: s.listApprovals, operation: listApprovalsOperation,
		},
		{
			pattern: "GET /approvals/{id}", access: takesOrOwn(escrow.PermissionApprovalsRead), tenant: named,
			large: true, handle: s.getApproval, operation: getApprovalOperation,
		},
		{
			pattern: "POST /approvals/{id}/approve",
			access:  takesWhole(escrow.PermissionApprovalsDecide), tenant: named,
			handle: s.approve, operation: approveOperation,
		},
		{
			pattern: "POST /approvals/{id}/reject",
			access:  takesWhole(escrow.PermissionApprovalsDecide), tenant: named,
			handle: s.reject, operation: rejectOperation,
		},
		{
			pattern: "POST /approvals/{id}/withdraw",
			access:  takesOrOwn(escrow.PermissionApprovalsRead), tenant: named,
			handle: s.withdraw, operation: withdrawOperation,
		},
		{
			pattern: "POST /approvals/{id}/erase", access: takes(escrow.PermissionPositionsErase), tenant: named,
			handle: s.eraseApproval, operation: eraseApprovalOperation,
		},
		{
			pattern: "GET /me/inbox",
			access:  takesWhole(escrow.PermissionApprovalsDecide), tenant: existingNamed, large: true,
			handle: s.getInbox, operation: getInboxOperation,
		},
	}
}
