package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// eraseBody asks for the data of one position or approval to be erased.
type eraseBody struct {
	Reason *string `json:"reason,omitempty" doc:"Why; it is private, too. What is erased is erased again to take it away." limit:"reason" example:"Request of the holder, GDPR article 17"`
}

var erasePositionOperation = operation{
	Operation: web.Operation{
		ID: "erasePosition", Tag: "Erasure", Summary: "Erase what is private of a position",
		Query: tenantQuery{}, Body: eraseBody{}, BodyExample: erasePositionExample, Answer: positionView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{
		escrow.CodePositionNotFound, escrow.CodeVersionMismatch, escrow.CodePositionOpen, escrow.CodeUnderLegalHold,
		escrow.CodeRetentionPeriod,
	},
}

// erasePosition erases the references, reasons and metadata of a position that has come to its
// end. Money, states, times and proofs stay.
func (s *server) erasePosition(c *call) (reply, error) {
	id := subjectID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	command, faults := escrow.NewErasePosition(id, bodyOf[eraseBody](c).Reason, c.versions, s.config.RetentionPeriod)
	position, err := execute[escrow.Position](c, command, faults)
	return ok(viewPosition(position)).tagged(position.Version), err
}

var eraseApprovalOperation = operation{
	Operation: web.Operation{
		ID: "eraseApproval", Tag: "Erasure", Summary: "Erase what is private of an approval",
		Query: tenantQuery{}, Body: eraseBody{}, BodyExample: erasePositionExample, Answer: ApprovalView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{
		escrow.CodeApprovalNotFound, escrow.CodeVersionMismatch, escrow.CodeApprovalOpen, escrow.CodeRetentionPeriod,
	},
}

// eraseApproval erases what is private of what was asked for, and what was said about it, once that has come to
// its end. Who has asked and decided, and all proofs, stay.
func (s *server) eraseApproval(c *call) (reply, error) {
	id := subjectID[escrow.ApprovalID](c, "id", escrow.CodeApprovalNotFound)
	return c.decide(escrow.NewEraseApproval(id, bodyOf[eraseBody](c).Reason, c.versions, s.config.RetentionPeriod))
}

// erasureBody asks for the data of a holder to be erased.
type erasureBody struct {
	HolderReference string `json:"holderReference" doc:"Whose positions, and whose that were asked for and never made." limit:"text" example:"ACME-4711"`
	DryRun          bool   `json:"dryRun,omitempty" doc:"true counts what would be erased, and changes nothing."`
}

// erasureView is what became of a holder's positions, and of the approvals that asked for others. It does not say
// whose.
type erasureView struct {
	ID            *escrow.ErasureID     `json:"id,omitempty" doc:"Left out of a dry run, which is not kept."`
	InstitutionID *escrow.InstitutionID `json:"institutionId,omitempty"`
	DryRun        bool                  `json:"dryRun,omitzero"`
	Erased        int64                 `json:"erased" doc:"The positions whose data were erased, or would be." minimum:"0"`
	Kept          keptView              `json:"kept"`
	Approvals     erasedApprovalsView   `json:"approvals"`
	Complete      bool                  `json:"complete" doc:"Whether all positions and approvals of the holder were looked at. Where not, ask again: another erasure goes on."`
	CreatedAt     *timestamp            `json:"createdAt,omitempty"`
}

// keptView counts the positions that were kept, by the reason.
type keptView struct {
	Open          int64      `json:"open" doc:"Those that are not final." minimum:"0"`
	OnHold        int64      `json:"onHold" doc:"Those that are under a legal hold." minimum:"0"`
	Retained      int64      `json:"retained" doc:"Those that are kept for a time after their last change." minimum:"0"`
	RetainedUntil *timestamp `json:"retainedUntil,omitempty" doc:"When the last of them, and of the approvals that are retained, can be erased."`
}

// erasedApprovalsView counts the approvals that asked for positions of the holder and have created none.
type erasedApprovalsView struct {
	Erased   int64 `json:"erased" doc:"Those whose data were erased, or would be." minimum:"0"`
	Pending  int64 `json:"pending" doc:"Those that were kept because they wait." minimum:"0"`
	Retained int64 `json:"retained" doc:"Those that are kept for a time after their last change: kept.retainedUntil." minimum:"0"`
}

func viewErasure(e escrow.Erasure) erasureView {
	view := erasureView{
		Erased: e.Erased,
		Kept: keptView{
			Open:          e.Open,
			OnHold:        e.OnHold,
			Retained:      e.Retained,
			RetainedUntil: (*timestamp)(e.RetainedUntil),
		},
		Approvals: erasedApprovalsView{
			Erased: e.ApprovalsErased, Pending: e.ApprovalsPending, Retained: e.ApprovalsRetained,
		},
		DryRun:   e.ID.IsZero(),
		Complete: e.Complete,
	}

	if !e.ID.IsZero() {
		view.ID, view.InstitutionID, view.CreatedAt = &e.ID, &e.InstitutionID, (*timestamp)(&e.CreatedAt)
	}
	return view
}

// erasureCursor is an erasure's place in a list: ids rise with the time of creation.
func erasureCursor(e escrow.Erasure) escrow.Cursor { return escrow.IDCursor(e.ID) }

var createErasureOperation = operation{
	Operation: web.Operation{
		ID: "createErasure", Tag: "Erasure", Summary: "Erase the data of a holder",
		Query: tenantQuery{}, Body: erasureBody{}, BodyExample: createErasureExample, Answer: erasureView{},
	},
}

// createErasure erases what is private of all positions of a holder that have come to their end, and of approvals
// that asked for others, and tells how many were kept, and why.
func (s *server) createErasure(c *call) (reply, error) {
	body := bodyOf[erasureBody](c)
	holder, faults := escrow.ReadHolderReference(body.HolderReference)

	erasure, err := eraseHolder(c, engine.HolderErasure{
		HolderReference: holder,
		Retention:       s.config.RetentionPeriod,
		DryRun:          body.DryRun || c.dryRun,
	}, faults)
	return ok(viewErasure(erasure)), err
}

// eraseHolder has the engine erase, as execute has it carry out a command.
func eraseHolder(c *call, h engine.HolderErasure, faults escrow.Faults) (escrow.Erasure, error) {
	return executeBy[escrow.Erasure](c, faults, func(request escrow.Request) (engine.Answer, error) {
		h.Request = request
		return c.server.engine.EraseHolder(c.context(), h)
	})
}

var getErasureOperation = operation{
	Operation: web.Operation{
		ID: "getErasure", Tag: "Erasure", Summary: "Get what became of a holder's positions",
		Query: tenantQuery{}, Answer: erasureView{},
	},
	refusals: codes{escrow.CodeErasureNotFound},
}

// getErasure answers one erasure.
func (s *server) getErasure(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.ErasureID](c, "id", escrow.CodeErasureNotFound)
	if err != nil {
		return reply{}, err
	}
	erasure, err := s.engine.Erasure(c.context(), institution, id)
	return ok(viewErasure(erasure)), err
}

// erasureQuery is the parameters of the list of erasures.
type erasureQuery struct {
	pageQuery
	tenantQuery
}

var listErasuresOperation = operation{
	Operation: web.Operation{
		ID: "listErasures", Tag: "Erasure", Summary: "List erasures",
		Query: erasureQuery{}, Answer: listView[erasureView]{},
	},
}

// listErasures answers an institution's erasures in the order in which they ended.
func (s *server) listErasures(c *call) (reply, error) {
	list := queryOf[erasureQuery](c).read(&c.faults, "erasures")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	erasures, err := s.engine.Erasures(c.context(), institution, list.page)
	return listed(list, erasures, viewErasure, erasureCursor), err
}
