package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// holdBody places a hold on a position; root names whose.
type holdBody struct {
	InstitutionID string        `json:"institutionId,omitempty" doc:"Whose position; for the root key."`
	Amount        *money.Digits `json:"amount,omitempty" doc:"What is on hold, of what the position holds and no other amount is on. Left out, all is on hold that the position holds, then and later."`
	HoldFields
}

func (b holdBody) namedTenant() string { return b.InstitutionID }

// HoldFields is what a client says of each hold.
type HoldFields struct {
	Kind      string  `json:"kind" doc:"What it rests on. A LEGAL hold takes holds.legal as well, keeps the position's data from erasure, and can be placed on a position that is final." words:"holdKinds"`
	Reason    string  `json:"reason" doc:"Why; it is private." minLength:"1" limit:"reason" example:"Freezing order of the High Court"`
	Reference *string `json:"reference,omitempty" doc:"What it is known by elsewhere, such as a docket number; it is private, too." limit:"text" example:"HC-2027-000118"`
	ReviewAt  *string `json:"reviewAt,omitempty" doc:"When somebody means to look at it again. Nothing happens then by itself." format:"date-time"`
}

func (f HoldFields) input() escrow.HoldInput {
	return escrow.HoldInput{Kind: f.Kind, Reason: f.Reason, Reference: f.Reference, ReviewAt: f.ReviewAt}
}

// liftBody lifts a hold.
type liftBody struct {
	Reason string `json:"reason" doc:"Why; it is private." minLength:"1" limit:"reason" example:"The order was set aside"`
}

// holdView is a hold as the API shows it.
type holdView struct {
	ID            escrow.HoldID        `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	PositionID    escrow.PositionID    `json:"positionId"`
	Kind          escrow.HoldKind      `json:"kind"`
	Status        escrow.HoldStatus    `json:"status"`
	Currency      money.Code           `json:"currency,omitempty"`
	Amount        string               `json:"amount,omitempty" doc:"What is on hold. Left out where that is all that the position holds." example:"250.00"`
	ReviewAt      *timestamp           `json:"reviewAt,omitempty"`
	Placed        *holdStepView        `json:"placed"`
	Lifted        *holdStepView        `json:"lifted,omitempty"`
}

// holdStepView is the placing or the lifting of a hold.
type holdStepView struct {
	ID        escrow.EntryID     `json:"id"`
	Sequence  int64              `json:"sequence" doc:"The step's place in the institution's journal."`
	Actor     escrow.Actor       `json:"actor" doc:"The id of an API key, a user or one of the operator's people, or root."`
	At        timestamp          `json:"at"`
	Reason    string             `json:"reason,omitempty" doc:"Left out where it was erased."`
	Reference string             `json:"reference,omitempty"`
	Erased    bool               `json:"erased,omitzero" doc:"Whether the reason or the reference were erased, with the data of the position."`
	Approval  *entryApprovalView `json:"approval,omitempty" doc:"The approval with which it was carried out, where it took one. The actor is who asked."`
}

func viewHold(h escrow.Hold) holdView {
	view := holdView{
		ID:            h.ID,
		InstitutionID: h.InstitutionID,
		PositionID:    h.PositionID,
		Kind:          h.Kind,
		Status:        escrow.HoldInForce,
		Currency:      h.Amount.Currency.Code,
		ReviewAt:      (*timestamp)(h.ReviewAt),
	}
	if !h.IsWhole() {
		view.Amount = h.Amount.Format()
	}
	if !h.InForce() {
		view.Status = escrow.HoldLifted
	}

	for _, step := range h.Steps {
		shown := &holdStepView{
			ID:        step.ID,
			Sequence:  step.Sequence,
			Actor:     step.Actor,
			At:        timestamp(step.At),
			Reason:    step.Reason,
			Reference: step.Reference,
			Erased:    step.Erased,
			Approval:  (*entryApprovalView)(step.Approval),
		}
		if step.Sequence == h.Lifted {
			view.Lifted = shown
		} else {
			view.Placed = shown
		}
	}
	return view
}

// holdCursor is a hold's place in a list: ids rise with the time of creation.
func holdCursor(h escrow.Hold) escrow.Cursor { return escrow.IDCursor(h.ID) }

var placeHoldOperation = operation{
	Operation: web.Operation{
		ID: "placeHold", Tag: "Holds", Summary: "Place a hold on a position",
		Query: tenantQuery{}, Body: holdBody{}, BodyExample: placeHoldExample, Answer: holdView{},
		Status: http.StatusCreated, RequestHeaders: headers{ifMatchHeader},
	},
	refusals: codes{
		escrow.CodePositionNotFound, escrow.CodeVersionMismatch, escrow.CodeHoldLimit, escrow.CodePositionEventLimit,
		escrow.CodePositionHistoryLimit, escrow.CodeHoldAmount,
	},
}

// placeHold keeps what a position holds, or an amount of it, where it is.
func (s *server) placeHold(c *call) (reply, error) {
	id := subjectID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	body := bodyOf[holdBody](c)
	in := body.input()
	in.Amount = body.Amount
	command, faults := escrow.NewPlaceHold(id, in, c.versions)

	hold, err := execute[escrow.Hold](c, command, faults)
	return created("/positions/"+id.String()+"/holds/"+hold.ID.String(), viewHold(hold)), err
}

var liftHoldOperation = operation{
	Operation: web.Operation{
		ID: "liftHold", Tag: "Holds", Summary: "Lift a hold",
		Query: tenantQuery{}, Body: liftBody{}, BodyExample: liftHoldExample, Answer: holdView{},
	},
	refusals: codes{escrow.CodePositionNotFound, escrow.CodeHoldNotFound, escrow.CodeHoldLifted},
}

// liftHold ends a hold.
func (s *server) liftHold(c *call) (reply, error) {
	position := subjectID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	id := subjectID[escrow.HoldID](c, "holdId", escrow.CodeHoldNotFound)
	command, faults := escrow.NewLiftHold(position, id, bodyOf[liftBody](c).Reason)

	hold, err := execute[escrow.Hold](c, command, faults)
	if err == nil {
		err = s.addPlacing(c, &hold)
	}
	return ok(viewHold(hold)), err
}

// addPlacing adds to a hold that is answered with its lifting how it was placed.
func (s *server) addPlacing(c *call, hold *escrow.Hold) error {
	placed := []escrow.Hold{{Placed: hold.Placed}}
	if err := s.engine.AddHoldSteps(c.context(), hold.InstitutionID, placed); err != nil {
		return err
	}
	hold.Steps = append(placed[0].Steps, hold.Steps...)
	return nil
}

var getHoldOperation = operation{
	Operation: web.Operation{
		ID: "getHold", Tag: "Holds", Summary: "Get a hold",
		Query: tenantQuery{}, Answer: holdView{},
	},
	refusals: codes{escrow.CodePositionNotFound, escrow.CodeHoldNotFound},
}

// getHold answers one hold on a position.
func (s *server) getHold(c *call) (reply, error) {
	position, err := s.positionInPath(c)
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.HoldID](c, "holdId", escrow.CodeHoldNotFound)
	if err != nil {
		return reply{}, err
	}
	hold, err := s.engine.Hold(c.context(), position.InstitutionID, id)
	if err == nil && hold.PositionID != position.ID {
		err = escrow.Errorf(escrow.CodeHoldNotFound, "There is no hold %s on %s.", id, position.ID)
	}
	return ok(viewHold(hold)), err
}

// positionHoldsQuery is the parameters of the list of holds on a position.
type positionHoldsQuery struct {
	pageQuery
	tenantQuery
	Kind   []string `query:"kind" doc:"Only those of one of these kinds." words:"holdKinds" maxItems:"30"`
	Status string   `query:"status" doc:"Only those in force, or only those that were lifted." words:"holdStatuses"`
}

func (q positionHoldsQuery) filter(faults *escrow.Faults) escrow.HoldFilter {
	var filter escrow.HoldFilter
	if q.Status != "" {
		statuses := wordsOf(faults, "status", []string{q.Status}, escrow.HoldStatuses(), "must be IN_FORCE or LIFTED")
		if len(statuses) > 0 {
			filter.Status = statuses[0]
		}
	}
	filter.Kinds = wordsOf(faults, "kind", q.Kind, escrow.HoldKinds(), "must be a kind of hold")
	return filter
}

var listPositionHoldsOperation = operation{
	Operation: web.Operation{
		ID: "listPositionHolds", Tag: "Holds", Summary: "List the holds on a position",
		Query: positionHoldsQuery{}, Answer: listView[holdView]{},
	},
	refusals: codes{escrow.CodePositionNotFound},
}

// listPositionHolds answers the holds on a position in the order in which they were placed.
func (s *server) listPositionHolds(c *call) (reply, error) {
	query := queryOf[positionHoldsQuery](c)
	list, filter := query.read(&c.faults, "position-holds"), query.filter(&c.faults)
	position, err := s.positionInPath(c)
	if err != nil {
		return reply{}, err
	}
	filter.Position = &position.ID
	holds, err := s.engine.Holds(c.context(), position.InstitutionID, filter, list.page)
	return listed(list, holds, viewHold, holdCursor), err
}

// holdsQuery is the parameters of the list of an institution's holds.
type holdsQuery struct {
	listQuery
	tenantQuery
	Kind         []string `query:"kind" doc:"Only those of one of these kinds." words:"holdKinds" maxItems:"30"`
	Status       string   `query:"status" doc:"Only those in force, or only those that were lifted." words:"holdStatuses"`
	ReviewBefore string   `query:"reviewBefore" doc:"Only those that are to be reviewed before this time." format:"date-time"`
}

var listHoldsOperation = operation{
	Operation: web.Operation{
		ID: "listHolds", Tag: "Holds", Summary: "List the holds of an institution",
		Query: holdsQuery{}, Answer: listView[holdView]{},
	},
}

// listHolds answers an institution's holds in the order in which they were placed.
func (s *server) listHolds(c *call) (reply, error) {
	query := queryOf[holdsQuery](c)
	list := query.read(&c.faults, "holds")
	filter := positionHoldsQuery{Kind: query.Kind, Status: query.Status}.filter(&c.faults)
	filter.Period = list.period
	filter.ReviewBefore = optionalTime(&c.faults, "reviewBefore", query.ReviewBefore)
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	holds, err := s.engine.Holds(c.context(), institution, filter, list.page)
	return listed(list, holds, viewHold, holdCursor), err
}

// holderHoldBody places a hold on all open positions of a holder.
type holderHoldBody struct {
	InstitutionID   string `json:"institutionId,omitempty" doc:"Whose positions; for the root key."`
	HolderReference string `json:"holderReference" doc:"Whose open positions." limit:"text" example:"ACME-4711"`
	HoldFields
}

func (b holderHoldBody) namedTenant() string { return b.InstitutionID }

// holderHoldsView is what became of a hold on all open positions of a holder.
type holderHoldsView struct {
	Placed   int64             `json:"placed" doc:"The positions on which the hold was placed, or would be." minimum:"0"`
	Before   int64             `json:"before" doc:"Those that were under it before: a hold of the same kind on all that they hold, with the same reference." minimum:"0"`
	Refused  []refusedHoldView `json:"refused" doc:"Positions on which it was not placed, and why." nullable:"false"`
	Complete bool              `json:"complete" doc:"Whether all open positions of the holder were looked at. Where not, ask again: it goes on."`
}

type refusedHoldView struct {
	PositionID escrow.PositionID `json:"positionId"`
	Code       escrow.Code       `json:"code"`
	Detail     string            `json:"detail"`
}

var holdHolderOperation = operation{
	Operation: web.Operation{
		ID: "holdHolder", Tag: "Holds", Summary: "Place a hold on all open positions of a holder",
		Query: tenantQuery{}, Body: holderHoldBody{}, BodyExample: holdHolderExample, Answer: holderHoldsView{},
	},
}

// holdHolder keeps all that a holder's open positions hold where it is. To ask again is safe.
func (s *server) holdHolder(c *call) (reply, error) {
	body := bodyOf[holderHoldBody](c)
	holder, faults := escrow.ReadHolderReference(body.HolderReference)
	_, found := escrow.NewPlaceHold(escrow.PositionID{}, body.input(), nil)
	faults.Merge(found)

	holds, err := executeBy[engine.HolderHolds](c, faults, func(request escrow.Request) (engine.Answer, error) {
		return s.engine.HoldHolder(c.context(), engine.HolderHold{
			Request: request, HolderReference: holder, Hold: body.input(),
		})
	})
	view := holderHoldsView{
		Placed: holds.Placed, Before: holds.Before, Refused: []refusedHoldView{}, Complete: holds.Complete,
	}
	for _, refused := range holds.Refused {
		view.Refused = append(view.Refused,
			refusedHoldView{refused.Position, refused.Refusal.Code, refused.Refusal.Detail})
	}
	return ok(view), err
}
