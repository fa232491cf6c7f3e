package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// positionBatchBody makes positions. The tag's bound on items is escrow.MaxBatchItems.
type positionBatchBody struct {
	InstitutionID string                `json:"institutionId,omitempty" doc:"Whose positions; for the root key."`
	Atomic        bool                  `json:"atomic,omitempty" doc:"All items or none; otherwise, and when it is left out, each is accepted or refused by itself."`
	Items         []createPositionsItem `json:"items" doc:"The positions. An item that is not valid is refused as an item; one of other members or types refuses the request." minItems:"1" maxItems:"1000" nullable:"false"`
}

func (b positionBatchBody) namedTenant() string { return b.InstitutionID }

// createPositionsItem is a type of its own for its name in the OpenAPI document.
type createPositionsItem struct{ PositionFields }

// transitionBatchBody moves positions. The tag's bound on items is escrow.MaxBatchItems.
type transitionBatchBody struct {
	InstitutionID string                    `json:"institutionId,omitempty" doc:"Whose positions; for the root key."`
	Atomic        bool                      `json:"atomic,omitempty" doc:"All items or none; otherwise, and when it is left out, each is accepted or refused by itself."`
	Items         []transitionPositionsItem `json:"items" doc:"The transitions, in their order; several may be of one position. An item that is not valid is refused as an item; one of other members or types refuses the request." minItems:"1" maxItems:"1000" nullable:"false"`
}

func (b transitionBatchBody) namedTenant() string { return b.InstitutionID }

// transitionPositionsItem is a transition with what the path and If-Match say of a single one.
type transitionPositionsItem struct {
	PositionID string `json:"positionId" doc:"Which position." example:"pos_01jd8m3q5yf7wbt0x4a2k9r6ce"`
	TransitionFields
	IfVersion *int64 `json:"ifVersion,omitempty" doc:"The version that the position must have at the item's turn, as If-Match of a single transition."`
}

// batchResultsView is what became of the items of a batch, in their order.
type batchResultsView struct {
	Results []batchResultView `json:"results" doc:"One for each item, in their order." nullable:"false"`
}

// batchResultView is what became of an item: Position or Error.
type batchResultView struct {
	Status   int           `json:"status" doc:"The status that the item would be answered with by itself; 424 for one that was not applied because others of an atomic batch are refused."`
	Position *positionView `json:"position,omitempty" doc:"The position as it was right after the item, without its events; after a transition also without its metadata, which stay as they were."`
	Error    *itemProblem  `json:"error,omitempty" doc:"Why the item was refused, with the code that it would have by itself; or not_applied."`
}

// itemProblem is the problem document of an item. The request's id is the answer's.
type itemProblem struct {
	web.ProblemMembers
	Errors []escrow.Fault `json:"errors,omitempty" doc:"Each fault of an invalid item; fields are the item's." nullable:"false"`
}

// AppendJSON implements jsonwriter.Value.
func (v batchResultsView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Array(&o, "results", v.Results)
	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (v batchResultView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Number("status", int64(v.Status))
	if v.Position != nil {
		jsonwriter.Member(&o, "position", *v.Position)
	}
	if v.Error != nil {
		jsonwriter.Member(&o, "error", *v.Error)
	}
	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (p itemProblem) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Word("type", p.Type)
	o.Text("title", p.Title)
	o.Number("status", int64(p.Status))
	o.Text("detail", p.Detail)
	o.Word("code", p.Code)
	if len(p.Errors) > 0 {
		jsonwriter.Array(&o, "errors", faultViews(p.Errors))
	}
	return o.End()
}

// viewResults shows what became of a batch's items; done is the status of one that
// was accepted. Positions are shown without events, which would make a thousand answers of
// one; and moved ones without metadata, which the step has not changed: the request does not
// bound it.
func viewResults(results escrow.BatchResults, done int) batchResultsView {
	view := batchResultsView{Results: make([]batchResultView, len(results))}
	for i, result := range results {
		if result.Refusal != nil {
			view.Results[i] = viewItemRefusal(result.Refusal)
			continue
		}

		position := viewPosition(result.Position)
		if done != http.StatusCreated {
			position.Metadata = nil
		}
		view.Results[i] = batchResultView{Status: done, Position: &position}
	}
	return view
}

// viewRefusals shows the items of a batch that was refused as a whole; nil for what is no
// batch.
func viewRefusals(items escrow.ItemRefusals) []batchResultView {
	var views []batchResultView
	for _, refusal := range items {
		// It is valid by itself, and was not applied because others are not.
		if refusal == nil {
			refusal = escrow.Errorf(escrow.CodeNotApplied, "Other items of the batch are refused.")
		}
		views = append(views, viewItemRefusal(refusal))
	}
	return views
}

// viewItemRefusal shows an item that was refused, as its own problem document: a client
// handles it with the code that it has for a single request.
func viewItemRefusal(refusal *escrow.Error) batchResultView {
	kind := errorKind(refusal.Code)
	return batchResultView{
		Status: kind.Status,
		Error:  &itemProblem{ProblemMembers: problemMembers(refusal, kind), Errors: refusal.Faults},
	}
}

var createPositionsOperation = operation{
	Operation: web.Operation{
		ID: "createPositions", Tag: "Positions", Summary: "Create up to 1000 positions",
		Query: tenantQuery{}, Body: positionBatchBody{},
		BodyExample: createPositionsExample, Answer: batchResultsView{},
	},
	refusals: codes{escrow.CodeBatchRefused},
}

// createPositions makes positions, in one command: 200 says that the batch was carried
// out, and each result what the item's own answer would have been.
func (s *server) createPositions(c *call) (reply, error) {
	body := bodyOf[positionBatchBody](c)
	items := make([]escrow.PositionInput, len(body.Items))
	for i, item := range body.Items {
		items[i] = escrow.PositionInput(item.PositionFields)
	}
	command, faults := escrow.NewCreationBatch(items, body.Atomic)

	results, err := execute[escrow.BatchResults](c, command, faults)
	return ok(viewResults(results, http.StatusCreated)), err
}

var transitionPositionsOperation = operation{
	Operation: web.Operation{
		ID: "transitionPositions", Tag: "Positions", Summary: "Move up to 1000 positions to other states",
		Query: tenantQuery{}, Body: transitionBatchBody{},
		BodyExample: transitionPositionsExample, Answer: batchResultsView{},
	},
	refusals: codes{escrow.CodeBatchRefused},
}

// transitionPositions moves positions, in one command and in the order of its items, so
// that one position can go several steps.
func (s *server) transitionPositions(c *call) (reply, error) {
	body := bodyOf[transitionBatchBody](c)
	items := make([]escrow.TransitionItem, len(body.Items))
	for i, item := range body.Items {
		items[i] = escrow.TransitionItem{
			PositionID:      item.PositionID,
			TransitionInput: escrow.TransitionInput(item.TransitionFields),
			IfVersion:       item.IfVersion,
		}
	}
	command, faults := escrow.NewTransitionBatch(items, body.Atomic)

	results, err := execute[escrow.BatchResults](c, command, faults)
	return ok(viewResults(results, http.StatusOK)), err
}
