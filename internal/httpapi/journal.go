package httpapi

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// ledgerQuery is the parameters of the list of the ledger.
type ledgerQuery struct {
	listQuery
	tenantQuery
	listFormatQuery
	PositionID string   `query:"positionId" doc:"Only what happened to this position."`
	Kind       []string `query:"kind" doc:"Only these kinds." words:"ledgerKinds" maxItems:"30"`
}

// auditQuery is the parameters of the audit trail, of which refused attempts have some.
type auditQuery struct {
	listQuery
	tenantQuery
	Actor   string   `query:"actor" doc:"Only what this actor did: the id of an API key, a user or one of the operator's people, root or system."`
	Kind    []string `query:"kind" doc:"Only these kinds of entries." words:"kinds" maxItems:"30"`
	Subject string   `query:"subject" doc:"Only what concerns this resource: its id, or policy/ and a region."`
	Outcome string   `query:"outcome" doc:"refused lists, to root, the latest attempts that were refused for reasons of security, over all institutions or those of one." enum:"accepted,refused" default:"accepted"`
}

// ledgerEventView is an entry that concerns a position and its money, with the request that
// made it: whoever reconciles a ledger starts from their own request ids.
type ledgerEventView struct {
	ID         escrow.EntryID    `json:"id"`
	Sequence   int64             `json:"sequence" doc:"The entry's place in the institution's journal."`
	Kind       escrow.Kind       `json:"kind"`
	PositionID escrow.PositionID `json:"positionId"`
	FromState  *previousState    `json:"fromState" doc:"null for the creation."`
	ToState    escrow.State      `json:"toState"`
	Currency   money.Code        `json:"currency"`
	Amount     string            `json:"amount,omitempty" doc:"What moved; the promised amount for the creation."`
	Reason     string            `json:"reason,omitempty"`
	Metadata   escrow.Metadata   `json:"metadata,omitempty"`
	Actor      escrow.Actor      `json:"actor" doc:"The id of an API key, a user or one of the operator's people, root or system."`
	RequestID  string            `json:"requestId"`
	At         timestamp         `json:"at"`

	Approval *entryApprovalView `json:"approval,omitempty" doc:"The approval with which it was carried out, where it took one. The actor is who asked."`
}

// auditEventView is any entry, or a refused attempt.
type auditEventView struct {
	ID            escrow.EntryID        `json:"id"`
	InstitutionID *escrow.InstitutionID `json:"institutionId" nullable:"true" doc:"null for a refused attempt whose caller is not known."`
	Sequence      int64                 `json:"sequence,omitempty" doc:"The entry's place in the journal; refused attempts have none."`
	Outcome       string                `json:"outcome" enum:"accepted,refused"`
	Kind          escrow.Kind           `json:"kind,omitempty"`
	Subject       string                `json:"subject,omitempty"`
	Actor         string                `json:"actor" doc:"The id of an API key, a user or one of the operator's people, root, system, metrics or unknown."`
	RequestID     string                `json:"requestId"`
	At            timestamp             `json:"at"`
	Approval      *entryApprovalView    `json:"approval,omitempty" doc:"The approval with which it was carried out, where it took one. The actor is who asked."`
	Details       jsontext.Value        `json:"details,omitempty" doc:"What happened, as the journal tells it."`
	Refusal       *refusalView          `json:"refusal,omitempty"`
}

// entryApprovalView is the approval with which a command was carried out.
type entryApprovalView struct {
	ID         escrow.ApprovalID `json:"id"`
	By         []escrow.Actor    `json:"by,omitempty" doc:"Who has approved, in the order in which they did." nullable:"false"`
	BreakGlass bool              `json:"breakGlass,omitzero" doc:"Whether the operator did not wait for any."`
}

// AppendJSON implements jsonwriter.Value.
func (v entryApprovalView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	if len(v.By) > 0 {
		jsonwriter.Words(&o, "by", v.By)
	}
	if v.BreakGlass {
		o.Raw("breakGlass", []byte("true"))
	}
	return o.End()
}

// cellsOf returns an approval in tables: its id, those who have approved, with spaces between them, and whether
// the glass was broken. They are empty where it took none.
func cellsOf(v *entryApprovalView) []string {
	if v == nil {
		return []string{"", "", ""}
	}
	cells := []string{v.ID.String(), v.by(), ""}
	if v.BreakGlass {
		cells[2] = "true"
	}
	return cells
}

// Told says for people by whom it was approved.
func (v entryApprovalView) Told() string {
	told := "without waiting for an approval"
	if !v.BreakGlass {
		told = "approved by " + v.by()
	}
	return told + ", " + v.ID.String()
}

// by names those who have approved.
func (v entryApprovalView) by() string {
	names := make([]string, len(v.By))
	for i, actor := range v.By {
		names[i] = actor.String()
	}
	return strings.Join(names, " ")
}

// refusalView is what a refused attempt has and an entry has not. The route is a pattern: a
// path as the client wrote it could hold a secret.
type refusalView struct {
	Code   escrow.Code `json:"code"`
	Method string      `json:"method"`
	Route  string      `json:"route"`
	Client string      `json:"client" doc:"The client's address."`
	Count  int64       `json:"count" doc:"How many such attempts there were within a minute. Of callers who are not known, those are alike that have the code and the address, on IPv6 its /64; of others, those that have actor, method and route too. The rest is that of the first." minimum:"1"`
	LastAt timestamp   `json:"lastAt" doc:"When the last of them was; at is when the first was."`
}

// viewLedgerEvent shows an entry that concerns a position.
func viewLedgerEvent(e escrow.Entry) ledgerEventView {
	// A list of the ledger has no entries of other kinds.
	position, step, _ := e.PositionEvent()
	event := viewPositionEvent(step)

	return ledgerEventView{
		ID:         e.ID,
		Sequence:   e.Sequence,
		Kind:       e.Kind,
		PositionID: position,
		FromState:  event.FromState,
		ToState:    event.ToState,
		Currency:   step.Currency.Code,
		Amount:     event.Amount,
		Reason:     event.Reason,
		Metadata:   event.Metadata,
		Actor:      e.Actor,
		RequestID:  e.RequestID,
		At:         event.At,
		Approval:   event.Approval,
	}
}

// viewAuditEvent shows an entry of any kind.
func viewAuditEvent(e escrow.Entry) auditEventView {
	details, err := e.Details()
	if err != nil {
		details = nil // An event that was read from JSON always has JSON.
	}

	return auditEventView{
		ID:            e.ID,
		InstitutionID: &e.InstitutionID,
		Sequence:      e.Sequence,
		Outcome:       "accepted",
		Kind:          e.Kind,
		Subject:       e.Subject,
		Actor:         e.Actor.String(),
		RequestID:     e.RequestID,
		At:            timestamp(e.At),
		Approval:      (*entryApprovalView)(e.Approval),
		Details:       details,
	}
}

// viewSecurityEvent shows a refused attempt, which is in no journal.
func viewSecurityEvent(a escrow.SecurityEvent) auditEventView {
	view := auditEventView{
		ID:        a.ID,
		Outcome:   "refused",
		Actor:     a.Actor,
		RequestID: a.RequestID,
		At:        timestamp(a.At),
		Refusal: &refusalView{
			Code:   a.Code,
			Method: a.Method,
			Route:  a.Path,
			Client: a.Client,
			Count:  a.Count,
			LastAt: timestamp(a.LastAt),
		},
	}

	if !a.InstitutionID.IsZero() {
		view.InstitutionID = &a.InstitutionID
	}
	return view
}

// entryCursor is an entry's place in a list, which is of one journal.
func entryCursor(e escrow.Entry) escrow.Cursor { return escrow.SequenceCursor(e.Sequence) }

// securityEventCursor is a refused attempt's place in a list.
func securityEventCursor(a escrow.SecurityEvent) escrow.Cursor { return escrow.IDCursor(a.ID) }

var listLedgerEventsOperation = operation{
	Operation: web.Operation{
		ID: "listLedgerEvents", Tag: "Journal", Summary: "List what happened to positions",
		Query: ledgerQuery{}, Answer: listView[ledgerEventView]{},
		OtherTypes: []string{contentTypeCSV}, AnswerHeaders: headers{nextPageHeader, dispositionHeader},
	},
	refusals: codes{codeNotAcceptable},
}

// listLedgerEvents answers the entries that concern positions and their money, in the
// order of the journal.
func (s *server) listLedgerEvents(c *call) (reply, error) {
	query := queryOf[ledgerQuery](c)
	format, err := c.listFormat(query.listFormatQuery)
	if err != nil {
		return reply{}, err
	}
	list := query.read(&c.faults, "ledger-events")
	if format == contentTypeCSV {
		list.checkCSV(&c.faults)
	}
	filter := escrow.EntryFilter{
		Period:     list.period,
		LedgerOnly: true,
		Kinds:      readKinds(&c.faults, query.Kind, escrow.LedgerKinds()),
	}
	// The journal is indexed by subject, whatever the kind.
	if position := optionalID[escrow.PositionID](&c.faults, "positionId", query.PositionID); position != nil {
		filter.Subject = position.String()
	}
	institution, err := c.institution()
	if err == nil {
		err = c.checkLedger(institution, filter.Subject)
	}
	if err != nil {
		return reply{}, err
	}

	entries, err := s.engine.Entries(c.context(), institution, filter, list.page)
	if err == nil && format == contentTypeCSV {
		return listedCSV(c, list, entries, ledgerCSV, entryCursor), nil
	}
	return listed(list, entries, viewLedgerEvent, entryCursor), err
}

// readKinds reads kinds of entries, of those that a list has.
func readKinds(faults *escrow.Faults, kinds []string, known []escrow.Kind) []escrow.Kind {
	return wordsOf(faults, "kind", kinds, known, "must be a kind of entry that this list has")
}

var listAuditEventsOperation = operation{
	Operation: web.Operation{
		ID: "listAuditEvents", Tag: "Journal", Summary: "List everything that was done",
		Query: auditQuery{}, Answer: listView[auditEventView]{},
	},
}

// listAuditEvents answers all entries, or the security events: one list for clients, of two
// tables, of which only root may see the second.
func (s *server) listAuditEvents(c *call) (reply, error) {
	query := queryOf[auditQuery](c)
	if query.Outcome == "refused" {
		return s.listSecurityEvents(c, query)
	}
	return s.listEntries(c, query)
}

// listEntries answers all entries, in the order of the journal.
func (s *server) listEntries(c *call, query auditQuery) (reply, error) {
	list := query.read(&c.faults, "audit-events")
	// A subject is compared as it is, because its form differs by kind: one that nothing has
	// finds nothing.
	filter := escrow.EntryFilter{
		Period:  list.period,
		Subject: query.Subject,
		Kinds:   readKinds(&c.faults, query.Kind, escrow.Kinds()),
	}
	if query.Actor != "" {
		actor, err := escrow.ParseActor(query.Actor)
		addFault(&c.faults, "actor", err)
		filter.Actor = &actor
	}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	// Security events, which have the same route, are small.
	if err := c.reserveMemory(escrow.MaxPageBytes); err != nil {
		return reply{}, err
	}
	entries, err := s.engine.Entries(c.context(), institution, filter, list.page)
	return listed(list, entries, viewAuditEvent, entryCursor), err
}

// listSecurityEvents lists the security events, over all institutions unless one is named: it may
// be one that does not exist, as attempts are on such, too.
func (s *server) listSecurityEvents(c *call, query auditQuery) (reply, error) {
	if err := takes(escrow.PermissionSecurityEventsRead).check(c); err != nil {
		return reply{}, err
	}

	list := query.read(&c.faults, "audit-events refused")
	filter := escrow.SecurityEventFilter{
		Period:      list.period,
		Actor:       query.Actor,
		Institution: optionalID[escrow.InstitutionID](&c.faults, "institutionId", query.InstitutionID),
	}
	// To ignore them would list what nobody asked for.
	if query.Kind != nil {
		c.faults.Add("kind", "is not a parameter of refused attempts")
	}
	if query.Subject != "" {
		c.faults.Add("subject", "is not a parameter of refused attempts")
	}
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}

	attempts, err := s.engine.SecurityEvents(c.context(), filter, list.page)
	return listed(list, attempts, viewSecurityEvent, securityEventCursor), err
}
