package httpapi

import (
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// positionQuery is the parameters of the list of positions.
type positionQuery struct {
	listQuery
	tenantQuery
	listFormatQuery
	AssetID           string   `query:"assetId" doc:"Only positions on this asset."`
	HolderReference   string   `query:"holderReference" doc:"Only this holder's."`
	ExternalReference string   `query:"externalReference" doc:"Only those of this external reference."`
	State             []string `query:"state" doc:"Only those in one of these states." words:"states" maxItems:"30"`
	Currency          []string `query:"currency" doc:"Only those in one of these currencies." maxItems:"30"`
	UpdatedFrom       string   `query:"updatedFrom" doc:"Only those whose last step was at or after this time. With it or updatedTo, the list is in the order of the last steps." format:"date-time"`
	UpdatedTo         string   `query:"updatedTo" doc:"Only those whose last step was before this time." format:"date-time"`
	Include           string   `query:"include" doc:"events adds each position's events; limit is then at most 100." enum:"events"`
}

var listPositionsOperation = operation{
	Operation: web.Operation{
		ID: "listPositions", Tag: "Positions", Summary: "List positions",
		Query: positionQuery{}, Answer: listView[positionView]{},
		OtherTypes: []string{contentTypeCSV}, AnswerHeaders: headers{nextPageHeader, dispositionHeader},
	},
	refusals: codes{codeNotAcceptable},
}

// listPositions answers an institution's positions in the order of creation, or of their last
// steps. A page with events is shorter: a position may have a thousand of them.
func (s *server) listPositions(c *call) (reply, error) {
	query := queryOf[positionQuery](c)
	format, err := c.listFormat(query.listFormatQuery)
	if err != nil {
		return reply{}, err
	}

	of, cursor := "positions", positionCursor
	if query.UpdatedFrom != "" || query.UpdatedTo != "" {
		of, cursor = "positions by their last steps", lastStepCursor
	}
	list := query.read(&c.faults, of)
	filter := query.filter(&c.faults, list.period)
	filter.Within = c.caller.rights.Restriction
	if filter.WithEvents && list.page.Limit > escrow.MaxPageWithEvents {
		c.faults.Add("limit", "must be at most %d with events", escrow.MaxPageWithEvents)
	}
	if format == contentTypeCSV {
		list.checkCSV(&c.faults)
		if filter.WithEvents {
			c.faults.Add("include", "is not there in CSV")
		}
	}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	positions, err := s.engine.Positions(c.context(), institution, filter, list.page)
	if err != nil {
		return reply{}, err
	}
	pending, err := c.pendingOn(positions.Items...)
	if err != nil {
		return reply{}, err
	}
	view := func(p escrow.Position) positionView {
		view := viewPosition(p)
		view.PendingApprovals = pending[p.ID]
		return view
	}
	if format == contentTypeCSV {
		return listedCSV(c, list, positions, positionsCSV(view), cursor), nil
	}
	return listed(list, positions, view, cursor), nil
}

// lastStepCursor is a position's place in a list in the order of last steps.
func lastStepCursor(p escrow.Position) escrow.Cursor { return escrow.StepCursor(p.UpdatedAt) }

// filter reads what positions of a period must have to be listed. A filter that is not valid
// would choose nothing, and look like an answer.
func (q positionQuery) filter(faults *escrow.Faults, period escrow.Period) escrow.PositionFilter {
	filter := escrow.PositionFilter{
		Period:            period,
		Asset:             optionalID[escrow.AssetID](faults, "assetId", q.AssetID),
		HolderReference:   strings.TrimSpace(q.HolderReference), // as it is kept
		ExternalReference: strings.TrimSpace(q.ExternalReference),
		States:            wordsOf(faults, "state", q.State, escrow.States(), "must be a state of a position"),
		WithEvents:        q.Include == "events",
		Updated: escrow.Period{
			From: optionalTime(faults, "updatedFrom", q.UpdatedFrom),
			To:   optionalTime(faults, "updatedTo", q.UpdatedTo),
		},
	}

	for _, text := range q.Currency {
		code, err := money.ParseCode(text)
		if err != nil {
			addFault(faults, "currency", err)
			break
		}
		if !slices.Contains(filter.Currencies, code) { // It can be written in two cases.
			filter.Currencies = append(filter.Currencies, code)
		}
	}
	return filter
}
