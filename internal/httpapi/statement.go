package httpapi

import (
	"context"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// zoneQuery is the parameter of a page.
type zoneQuery struct {
	TimeZone string `query:"timeZone" doc:"An IANA time zone, such as Asia/Dubai, in which the page shows times, with UTC beside them." example:"Europe/Berlin"`
}

// positionStatementQuery asks for all of a position's life: its events are bounded.
type positionStatementQuery struct {
	tenantQuery
	zoneQuery
	Format string `query:"format" doc:"The format of the answer. When left out, the Accept header chooses, and JSON is the default." enum:"json,csv,html"`
}

// statementQuery asks for a period of a journal. The tag's bound on limit is
// escrow.MaxMovements.
type statementQuery struct {
	zoneQuery
	Format string `query:"format" doc:"The format of the answer. When left out, the Accept header chooses, and JSON is the default." enum:"json,csv,html,camt053"`
	From   string `query:"from" doc:"Only movements at or after this time; all from the journal's beginning when left out." format:"date-time"`
	To     string `query:"to" doc:"Only movements before this time; up to the last entry when left out." format:"date-time"`
	Limit  int64  `query:"limit" doc:"The largest number of movements to return." minimum:"1" maximum:"10000" default:"10000"`
}

// StatementFields is what the statements of positions and of institutions both have. Opening
// balances plus movements are the closing balances, so a reader can check the sum.
type StatementFields struct {
	Sequence   int64               `json:"sequence" doc:"Of the last entry that is in the closing balances; 0 where there is none."`
	Opening    []balanceView       `json:"opening" nullable:"false" doc:"The balances before the movements: one of each currency, in order of code."`
	Movements  []movementView      `json:"movements" nullable:"false" doc:"In the order of the journal."`
	Closing    []balanceView       `json:"closing" nullable:"false" doc:"The balances after the movements, in the same currencies."`
	Checkpoint *coveringCheckpoint `json:"checkpoint" doc:"The first checkpoint of the journal that covers the sequence; null while there is none."`
}

// coveringCheckpoint is null while none has been signed.
type coveringCheckpoint checkpointView

// positionStatementView is the statement of a position, with what it is a claim on.
type positionStatementView struct {
	InstitutionID     escrow.InstitutionID `json:"institutionId"`
	PositionID        escrow.PositionID    `json:"positionId"`
	AssetID           escrow.AssetID       `json:"assetId"`
	HolderReference   string               `json:"holderReference"`
	ExternalReference string               `json:"externalReference,omitempty"`
	Currency          money.Code           `json:"currency"`
	State             escrow.State         `json:"state"`
	StatementFields
}

// statementView is the statement of an institution over a period.
type statementView struct {
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	From          *timestamp           `json:"from" nullable:"true" doc:"The beginning of the period, inclusive; null for the journal's."`
	To            timestamp            `json:"to" doc:"The end of the period, exclusive."`
	ContinuesAt   *timestamp           `json:"continuesAt" nullable:"true" doc:"The same as to, where the period has more than the statement: the from of the next one. null otherwise."`
	Final         bool                 `json:"final" doc:"Whether no entry can come before to any more."`
	StatementFields
}

// movementView is a posting with the step of a position that made it.
type movementView struct {
	Sequence   int64             `json:"sequence" doc:"The entry's place in the institution's journal."`
	EntryID    escrow.EntryID    `json:"entryId"`
	At         timestamp         `json:"at"`
	PositionID escrow.PositionID `json:"positionId"`
	FromState  escrow.State      `json:"fromState"`
	ToState    escrow.State      `json:"toState"`
	Debit      escrow.Account    `json:"debit" doc:"The account that the amount comes from."`
	Credit     escrow.Account    `json:"credit" doc:"The account that it goes to."`
	Currency   money.Code        `json:"currency"`
	Amount     string            `json:"amount" example:"250.00"`

	HolderReference string         `json:"holderReference" doc:"Whose claim the position is."`
	AssetID         escrow.AssetID `json:"assetId"`
	AssetLabel      string         `json:"assetLabel" doc:"What the position is a claim on."`
	Reason          string         `json:"reason,omitempty" doc:"Why, as the step of the position gave it."`

	Actor    escrow.Actor       `json:"actor" doc:"Who has asked for it: the id of an API key, a user or one of the operator's people, root or system."`
	Approval *entryApprovalView `json:"approval,omitempty" doc:"The approval with which it was carried out, where it took one."`
}

// viewMovement shows a movement, from the account that is debited to the one that is
// credited.
func viewMovement(m escrow.Movement, of escrow.Claim) movementView {
	return movementView{
		Sequence:   m.Sequence,
		EntryID:    m.EntryID,
		At:         timestamp(m.At),
		PositionID: m.PositionID,
		FromState:  m.From,
		ToState:    m.To,
		Debit:      m.Debit,
		Credit:     m.Credit,
		Currency:   m.Currency.Code,
		Amount:     m.Amount.Format(m.Currency),

		HolderReference: of.HolderReference,
		AssetID:         of.AssetID,
		AssetLabel:      of.AssetLabel,
		Reason:          m.Reason,

		Actor:    m.Actor,
		Approval: (*entryApprovalView)(m.Approval),
	}
}

// people names who has asked for the movement, and who has approved it.
func (m movementView) people() string {
	switch {
	case m.Approval == nil:
		return m.Actor.String()
	case m.Approval.BreakGlass:
		return fmt.Sprintf("%s, who did not wait for the approval %s", m.Actor, m.Approval.ID)
	}
	return fmt.Sprintf("%s, approved by %s (%s)", m.Actor, m.Approval.by(), m.Approval.ID)
}

// statementFields shows a statement that ends with the entry of a sequence, with the
// checkpoint that it rests on.
func (s *server) statementFields(
	ctx context.Context, institution escrow.InstitutionID, statement journallog.Statement,
) (StatementFields, error) {
	currencies := statement.Closing.Currencies()
	fields := StatementFields{
		Sequence:  statement.Sequence,
		Opening:   viewBalances(&statement.Opening, currencies),
		Movements: make([]movementView, len(statement.Movements)),
		Closing:   viewBalances(&statement.Closing, currencies),
	}
	for i, m := range statement.Movements {
		fields.Movements[i] = viewMovement(m, statement.Claims[m.PositionID])
	}

	// The checkpoint lets whoever keeps the statement prove later that the journal still says
	// the same. Until the next one is signed there may be none.
	checkpoint, found, err := s.config.TransparencyLog.CoveringCheckpoint(ctx, institution, statement.Sequence)
	if found {
		fields.Checkpoint = new(coveringCheckpoint(viewCheckpoint(checkpoint)))
	}
	return fields, err
}

var getPositionStatementOperation = operation{
	Operation: web.Operation{
		ID: "getPositionStatement", Tag: "Positions", Summary: "Get the account statement of a position",
		Query: positionStatementQuery{}, Answer: positionStatementView{},
		OtherTypes: []string{contentTypeCSV, contentTypeHTML}, AnswerHeaders: headers{dispositionHeader},
	},
	refusals: codes{codeNotAcceptable, escrow.CodePositionNotFound},
}

// getPositionStatement answers what a position's steps have moved, and between which
// accounts.
func (s *server) getPositionStatement(c *call) (reply, error) {
	query := queryOf[positionStatementQuery](c)
	format, err := c.statementFormat(query.Format, query.TimeZone, false)
	if err != nil {
		return reply{}, err
	}
	p, err := s.positionInPath(c)
	if err != nil {
		return reply{}, err
	}
	if p, err = s.engine.WithEvents(c.context(), p); err != nil {
		return reply{}, err
	}
	asset, err := s.engine.Asset(c.context(), p.InstitutionID, p.AssetID)
	if err != nil {
		return reply{}, err
	}
	claim := escrow.Claim{HolderReference: p.HolderReference, AssetID: asset.ID, AssetLabel: asset.Label}
	fields, err := s.statementFields(c.context(), p.InstitutionID, journallog.Statement{
		Statement: p.Statement(),
		// A position has at least the event of its creation.
		Sequence: p.Events[len(p.Events)-1].Sequence,
		Claims:   map[escrow.PositionID]escrow.Claim{p.ID: claim},
	})
	if err != nil {
		return reply{}, err
	}

	return s.answerStatement(c, format, statementDocument{
		json: positionStatementView{
			InstitutionID:     p.InstitutionID,
			PositionID:        p.ID,
			AssetID:           p.AssetID,
			HolderReference:   p.HolderReference,
			ExternalReference: p.ExternalReference,
			Currency:          p.Currency.Code,
			State:             p.State,
			StatementFields:   fields,
		},
		of:          p.ID,
		institution: p.InstitutionID,
		Title:       "Statement of a position",
		About: []particular{
			{Name: "Position", Value: p.ID.String()},
			{Name: "Asset", Value: asset.Label},
			{Name: "Asset id", Value: asset.ID.String()},
			{Name: "Holder", Value: p.HolderReference},
			{Name: "External reference", Value: p.ExternalReference},
			{Name: "State", Value: string(p.State)},
		},
		StatementFields: fields,
	})
}

var getStatementOperation = operation{
	Operation: web.Operation{
		ID: "getStatement", Tag: "Journal", Summary: "Get the account statement of a period",
		Query: statementQuery{}, Answer: statementView{},
		OtherTypes:    []string{contentTypeCSV, contentTypeHTML, contentTypeXML},
		AnswerHeaders: headers{linkHeader, dispositionHeader},
	},
	refusals: codes{codeNotAcceptable},
}

// getStatement answers what a period of the journal has moved. A period with more than the
// statement may have is cut between two entries; the rest is the next statement's, whose
// path is in the Link header.
func (s *server) getStatement(c *call) (reply, error) {
	query := queryOf[statementQuery](c)
	format, err := c.statementFormat(query.Format, query.TimeZone, true)
	if err != nil {
		return reply{}, err
	}
	period, limit := query.read(&c.faults)
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	statement, err := s.config.TransparencyLog.Statement(c.context(), institution, period, limit)
	if err != nil {
		return reply{}, err
	}
	fields, err := s.statementFields(c.context(), institution, statement)
	if err != nil {
		return reply{}, err
	}

	view := statementView{
		InstitutionID:   institution,
		From:            (*timestamp)(period.From),
		To:              timestamp(statement.To),
		ContinuesAt:     (*timestamp)(statement.ContinuesAt),
		Final:           statement.Final,
		StatementFields: fields,
	}
	answer, err := s.answerStatement(c, format, statementDocument{
		json:            view,
		of:              institution,
		institution:     institution,
		Title:           "Account statement",
		From:            view.From,
		To:              &view.To,
		ContinuesAt:     view.ContinuesAt,
		Final:           view.Final,
		StatementFields: fields,
	})
	// The next statement keeps the format and the end that were asked for.
	if view.ContinuesAt != nil {
		answer.next = c.pathWith("from", view.ContinuesAt.String())
	}
	return answer, err
}

// read reads the period of a statement, and how many movements it may have.
func (q statementQuery) read(faults *escrow.Faults) (period escrow.Period, limit int) {
	period = escrow.Period{
		From: optionalTime(faults, "from", q.From),
		To:   optionalTime(faults, "to", q.To),
	}
	// Only two times that could be read can be compared.
	if len(*faults) == 0 && period.From != nil && period.To != nil && !period.From.Before(*period.To) {
		faults.Add("from", "must be before to")
	}
	return period, int(q.Limit)
}
