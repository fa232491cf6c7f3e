package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// glassFields are what the body of every command can have beside its own members.
type glassFields struct {
	BreakGlass *breakGlassBody `json:"breakGlass,omitempty" doc:"For the operator: what takes an approval is carried out at once, and marked for good."`
}

// breakGlassBody says why the operator does not wait.
type breakGlassBody struct {
	Reason string `json:"reason" doc:"Why; it is private." limit:"reason" example:"The approvers cannot be reached, and the bank's payment is due."`
}

// readBreakGlass returns why the operator does not wait for an approval; it is empty where nothing is said.
func (c *call) readBreakGlass() string {
	if c.glass.BreakGlass == nil {
		return ""
	}
	reason, faults := escrow.ReadBreakGlass(c.glass.BreakGlass.Reason)
	c.faults.Merge(faults)
	return reason
}
