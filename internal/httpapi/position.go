package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// positionBody makes a position; root names whose.
type positionBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose position; for the root key."`
	PositionFields
}

func (b positionBody) namedTenant() string { return b.InstitutionID }

// PositionFields is what a client gives to make a position, alone or as an item of a
// batch. Its fields are those of escrow.PositionInput, which has the rules.
type PositionFields struct {
	AssetID           string          `json:"assetId" doc:"The asset on which the claim is." example:"ast_01jd8m3q5yf7wbt0x4a2k9r6ce"`
	HolderReference   string          `json:"holderReference" doc:"Whose claim it is, in the client's own terms." limit:"text" example:"ACME-4711"`
	Currency          string          `json:"currency" doc:"ISO 4217, in any case." minLength:"3" maxLength:"3" example:"USD"`
	Amount            money.Digits    `json:"amount" doc:"In units of the currency, with at most its decimals."`
	ExternalReference *string         `json:"externalReference,omitempty" doc:"The client's own name for the position, which others can have too unless the template has uniqueExternalReference." limit:"text"`
	ExpiresAt         *string         `json:"expiresAt,omitempty" doc:"When the position ends by itself." format:"date-time"`
	Metadata          escrow.Metadata `json:"metadata,omitempty" doc:"Anything of the client's, up to 64 KiB and 10 deep."`
}

// transitionBody moves a position; root names whose.
type transitionBody struct {
	InstitutionID string `json:"institutionId,omitempty" doc:"Whose position; for the root key."`
	TransitionFields
}

func (b transitionBody) namedTenant() string { return b.InstitutionID }

// TransitionFields is what a client gives to move a position to another state, alone or as
// an item of a batch. Its fields are those of escrow.TransitionInput.
type TransitionFields struct {
	ToState  string          `json:"toState" doc:"Where to." words:"states"`
	Amount   *money.Digits   `json:"amount,omitempty" doc:"What a partial release moves; elsewhere it may be left out or must be all that moves."`
	Reason   *string         `json:"reason,omitempty" limit:"reason"`
	Metadata escrow.Metadata `json:"metadata,omitempty" doc:"Anything of the client's, up to 64 KiB and 10 deep."`
}

// positionView is a position as the API shows it. Its JSON is written by hand, see
// AppendJSON: a field that is new here is new there.
type positionView struct {
	ID                escrow.PositionID    `json:"id"`
	InstitutionID     escrow.InstitutionID `json:"institutionId"`
	AssetID           escrow.AssetID       `json:"assetId"`
	HolderReference   string               `json:"holderReference,omitempty" doc:"Left out where it was erased."`
	ExternalReference string               `json:"externalReference,omitempty"`
	Currency          money.Code           `json:"currency"`
	Amount            string               `json:"amount" doc:"What was promised, in units of the currency." example:"1000.00"`
	Funded            string               `json:"funded" doc:"What was paid in; released + refunded + held." example:"1000.00"`
	Released          string               `json:"released" doc:"What went to the beneficiary." example:"250.00"`
	Refunded          string               `json:"refunded" doc:"What went back." example:"0.00"`
	Held              string               `json:"held" doc:"What is in escrow." example:"750.00"`
	OnHold            string               `json:"onHold" doc:"What of it is on hold." example:"0.00"`
	Available         string               `json:"available" doc:"What of it is not; held = available + onHold." example:"750.00"`
	State             escrow.State         `json:"state"`
	Version           int64                `json:"version" doc:"Counts the position's changes, holds on it included; also its ETag."`
	ExpiresAt         *timestamp           `json:"expiresAt,omitempty"`
	Metadata          escrow.Metadata      `json:"metadata,omitempty"`
	CreatedAt         timestamp            `json:"createdAt"`
	UpdatedAt         timestamp            `json:"updatedAt"`
	Erased            bool                 `json:"erased,omitzero" doc:"Whether what was private of the position was erased: the references, the metadata, and the reasons and metadata of its events."`
	PendingApprovals  []pendingView        `json:"pendingApprovals,omitempty" doc:"What is asked for and waits for an approval." nullable:"false"`
	Events            *[]positionEventView `json:"events,omitempty" doc:"The position's history, oldest first; in the answer to a creation or a transition its own event alone. Left out of lists without include=events."`
}

// positionEventView is an event of a position. Its JSON is written by hand, too.
type positionEventView struct {
	ID        escrow.EntryID  `json:"id"`
	Sequence  int64           `json:"sequence" doc:"The event's place in the institution's journal."`
	FromState *previousState  `json:"fromState" doc:"null for the creation."`
	ToState   escrow.State    `json:"toState"`
	Amount    string          `json:"amount,omitempty" doc:"What moved; the promised amount for the creation."`
	Reason    string          `json:"reason,omitempty"`
	Metadata  escrow.Metadata `json:"metadata,omitempty"`
	Erased    bool            `json:"erased,omitzero" doc:"Whether the event had a reason or metadata that were erased."`
	Actor     escrow.Actor    `json:"actor" doc:"The id of an API key, a user or one of the operator's people, root or system."`
	At        timestamp       `json:"at"`

	Approval *entryApprovalView `json:"approval,omitempty" doc:"The approval with which it was carried out, where it took one. The actor is who asked."`
}

// previousState is where a position came from; null for its creation.
type previousState escrow.State

// viewPosition shows a position; its events, where they were loaded.
func viewPosition(p escrow.Position) positionView {
	view := positionView{
		ID:                p.ID,
		InstitutionID:     p.InstitutionID,
		AssetID:           p.AssetID,
		HolderReference:   p.HolderReference,
		ExternalReference: p.ExternalReference,
		Currency:          p.Currency.Code,
		Amount:            p.Amount.Format(p.Currency),
		Funded:            p.Funded.Format(p.Currency),
		Released:          p.Released.Format(p.Currency),
		Refunded:          p.Refunded.Format(p.Currency),
		Held:              p.Held.Format(p.Currency),
		OnHold:            p.OnHold().Format(p.Currency),
		Available:         p.Available().Format(p.Currency),
		State:             p.State,
		Version:           p.Version,
		ExpiresAt:         (*timestamp)(p.ExpiresAt),
		Metadata:          p.Metadata,
		CreatedAt:         timestamp(p.CreatedAt),
		UpdatedAt:         timestamp(p.UpdatedAt),
		Erased:            p.Erased(),
	}

	if p.Events != nil {
		events := make([]positionEventView, len(p.Events))
		for i, event := range p.Events {
			events[i] = viewPositionEvent(event)
		}
		view.Events = &events
	}
	return view
}

// viewPositionEvent shows an event. What moved nothing has no amount.
func viewPositionEvent(e escrow.PositionEvent) positionEventView {
	view := positionEventView{
		ID:       e.ID,
		Sequence: e.Sequence,
		ToState:  e.To,
		Reason:   e.Reason,
		Metadata: e.Metadata,
		Erased:   e.Erased,
		Actor:    e.Actor,
		At:       timestamp(e.At),
		Approval: (*entryApprovalView)(e.Approval),
	}

	if e.From != "" {
		view.FromState = (*previousState)(&e.From)
	}
	if e.Amount != 0 {
		view.Amount = e.Amount.Format(e.Currency)
	}
	return view
}

// AppendJSON implements jsonwriter.Value. Words are texts that need no escaping: they are the
// server's own, or have been checked.
func (v positionView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	jsonwriter.Appender(&o, "institutionId", v.InstitutionID)
	jsonwriter.Appender(&o, "assetId", v.AssetID)
	o.OptionalText("holderReference", v.HolderReference)
	o.OptionalText("externalReference", v.ExternalReference)
	o.Word("currency", string(v.Currency))
	o.Word("amount", v.Amount)
	o.Word("funded", v.Funded)
	o.Word("released", v.Released)
	o.Word("refunded", v.Refunded)
	o.Word("held", v.Held)
	o.Word("onHold", v.OnHold)
	o.Word("available", v.Available)
	o.Word("state", string(v.State))
	o.Number("version", v.Version)
	if v.ExpiresAt != nil {
		jsonwriter.Appender(&o, "expiresAt", *v.ExpiresAt)
	}
	writeMetadata(&o, v.Metadata)
	jsonwriter.Appender(&o, "createdAt", v.CreatedAt)
	jsonwriter.Appender(&o, "updatedAt", v.UpdatedAt)
	writeErased(&o, v.Erased)
	if len(v.PendingApprovals) > 0 {
		jsonwriter.Array(&o, "pendingApprovals", v.PendingApprovals)
	}
	if v.Events != nil {
		jsonwriter.Array(&o, "events", *v.Events)
	}

	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (v positionEventView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	o.Number("sequence", v.Sequence)
	if v.FromState != nil {
		o.Word("fromState", string(*v.FromState))
	} else {
		o.Null("fromState")
	}
	o.Word("toState", string(v.ToState))
	o.OptionalWord("amount", v.Amount)
	o.OptionalText("reason", v.Reason)
	writeMetadata(&o, v.Metadata)
	writeErased(&o, v.Erased)
	jsonwriter.Appender(&o, "actor", v.Actor)
	jsonwriter.Appender(&o, "at", v.At)
	if v.Approval != nil {
		jsonwriter.Member(&o, "approval", *v.Approval)
	}

	return o.End()
}

// positionCursor is a position's place in a list: ids rise with the time of creation.
func positionCursor(p escrow.Position) escrow.Cursor { return escrow.IDCursor(p.ID) }

var createPositionOperation = operation{
	Operation: web.Operation{
		ID: "createPosition", Tag: "Positions", Summary: "Create a position",
		Query: tenantQuery{}, Body: positionBody{},
		BodyExample: createPositionExample, Answer: positionView{}, Status: http.StatusCreated,
		AnswerHeaders: headers{etagHeader},
	},
	refusals: append(codes{escrow.CodeAssetNotFound}, escrow.CreationRefusals()...),
}

// createPosition makes a position in its first state, without money.
func (s *server) createPosition(c *call) (reply, error) {
	body := bodyOf[positionBody](c)
	// The conversion compiles only while both have the same fields: a field that the domain
	// gains cannot be forgotten here.
	command, faults := escrow.NewCreatePosition(escrow.PositionInput(body.PositionFields))

	position, err := execute[escrow.Position](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return created("/positions/"+position.ID.String(), viewPosition(position)).tagged(position.Version), nil
}

var transitionPositionOperation = operation{
	Operation: web.Operation{
		ID: "transitionPosition", Tag: "Positions", Summary: "Move a position to another state",
		Query: tenantQuery{}, Body: transitionBody{},
		BodyExample: transitionPositionExample, Answer: positionView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: append(codes{escrow.CodePositionNotFound}, escrow.TransitionRefusals()...),
}

// transitionPosition moves a position to another state, and its money with it. With
// If-Match it does so only from a version that the client has seen.
func (s *server) transitionPosition(c *call) (reply, error) {
	id := subjectID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	body := bodyOf[transitionBody](c)
	command, faults := escrow.NewTransitionPosition(id, escrow.TransitionInput(body.TransitionFields), c.versions)

	position, err := execute[escrow.Position](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return ok(viewPosition(position)).tagged(position.Version), nil
}

var getPositionOperation = operation{
	Operation: web.Operation{
		ID: "getPosition", Tag: "Positions", Summary: "Get a position with its events",
		Query: tenantQuery{}, Answer: positionView{},
		AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodePositionNotFound},
}

// getPosition answers a position with its events, or that the client has it already.
func (s *server) getPosition(c *call) (reply, error) {
	position, err := s.positionInPath(c)
	if err != nil {
		return reply{}, err
	}

	// What waits is no step of the position: where something does, the answer is made anew.
	pending, err := c.pendingOn(position)
	if err != nil {
		return reply{}, err
	}
	if waiting := pending[position.ID]; len(waiting) > 0 {
		return c.waitingPosition(position, waiting)
	}
	// Each step of a position has a version of its own, so equal versions are equal answers.
	return c.conditional(position.Version, func() (reply, error) {
		// It is read more often than anything else, and most readers ask for one again.
		content, err := s.positions.json(c, position)
		return reply{status: http.StatusOK, raw: content, contentType: web.ContentTypeJSON}, err
	})
}

// positionInPath reads the position that the path names, without its events.
func (s *server) positionInPath(c *call) (escrow.Position, error) {
	institution, err := c.institution()
	if err != nil {
		return escrow.Position{}, err
	}
	id, err := pathID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	if err != nil {
		return escrow.Position{}, err
	}
	return c.position(institution, id)
}
