package httpapi

import (
	"log/slog"
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// sessionView is a session as the API shows it, without its token.
type sessionView struct {
	ID            escrow.SessionID      `json:"id"`
	InstitutionID *escrow.InstitutionID `json:"institutionId,omitempty" doc:"Left out for a session of the operator's."`
	Actor         escrow.Actor          `json:"actor" doc:"Whom it acts for: a key, a user, one of the operator's people, or root for the root key."`
	IsCurrent     bool                  `json:"isCurrent" doc:"Whether the request came with this session."`
	CreatedAt     timestamp             `json:"createdAt"`
	LastSeenAt    timestamp             `json:"lastSeenAt" doc:"Up to two minutes late."`
	EndsAt        timestamp             `json:"endsAt" doc:"When it ends at the latest; it ends earlier when it is not used for 30 minutes."`
	Client        string                `json:"client" doc:"The address that it was begun from."`
	Agent         string                `json:"agent,omitempty" doc:"What the browser calls itself."`
}

func (c *call) viewSession(s escrow.Session) sessionView {
	current := c.caller.as.Session
	return sessionView{
		ID:            s.ID,
		InstitutionID: shownInstitution(s.InstitutionID),
		Actor:         s.Actor,
		IsCurrent:     current != nil && current.ID == s.ID,
		CreatedAt:     timestamp(s.CreatedAt),
		LastSeenAt:    timestamp(s.LastSeenAt),
		EndsAt:        timestamp(s.EndsAt),
		Client:        s.Client,
		Agent:         s.Agent,
	}
}

// shownInstitution is the institution of a session; nil where it is the operator's.
func shownInstitution(of escrow.InstitutionID) *escrow.InstitutionID {
	if of.IsZero() {
		return nil
	}
	return &of
}

// sessionCursor is a session's place in a list.
func sessionCursor(s escrow.Session) escrow.Cursor { return escrow.IDCursor(s.ID) }

var createSessionOperation = operation{
	Operation: web.Operation{
		ID: "createSession", Tag: "Sessions", Summary: "Exchange a key or a token for a session",
		Answer: sessionView{}, Status: http.StatusCreated, AnswerHeaders: headers{setCookieHeader},
	},
	refusals: codes{escrow.CodeForbidden, escrow.CodeKeyRotated},
}

// createSession begins a session for who calls with a key or a token, and has the browser keep it. A root
// key that is being replaced is as a key that was rotated.
func (s *server) createSession(c *call) (reply, error) {
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}

	shown := c.caller.shown
	if c.caller.as.Root && shown.way == wayKey && !isOneOf(shown.text, hashes(s.config.RootKey)) {
		return reply{}, escrow.Errorf(escrow.CodeKeyRotated, "The root key is being replaced; use the new one.")
	}
	session, err := s.openSession(c, c.caller.as)
	if err != nil {
		return reply{}, err
	}
	return created("/sessions/"+session.ID.String(), c.viewSession(session)), nil
}

// openSession begins a session and has the browser keep its token. No journal tells of sessions; the log
// says who began which one.
func (s *server) openSession(c *call, as *engine.Caller) (escrow.Session, error) {
	session, token, err := s.engine.OpenSession(c.context(), as, c.client, c.request.UserAgent())
	if err != nil {
		return escrow.Session{}, err
	}
	c.setCookie(sessionCookie, token, session.EndsAt)
	s.log.LogAttrs(c.context(), slog.LevelInfo, "a session was begun",
		c.sessionAttributes(session.InstitutionID, session.ID)...)
	return session, nil
}

// sessionAttributes is what the log tells of a session that the caller has begun or ended.
func (c *call) sessionAttributes(of escrow.InstitutionID, id escrow.SessionID) []slog.Attr {
	attributes := []slog.Attr{
		slog.String("session_id", id.String()), slog.String("actor", c.caller.name()),
		slog.String("request_id", c.requestID),
	}
	if !of.IsZero() {
		attributes = append(attributes, slog.String("institution_id", of.String()))
	}
	return attributes
}

// sessionQuery is the parameters of the list of all sessions.
type sessionQuery struct {
	pageQuery
	Actor string `query:"actor" doc:"Only those that act for this key or user."`
}

var listOwnSessionsOperation = operation{
	Operation: web.Operation{
		ID: "listOwnSessions", Tag: "Sessions", Summary: "List one's own sessions; as root, the operator's",
		Query: pageQuery{}, Answer: listView[sessionView]{},
	},
}

// listOwnSessions answers the sessions that act for the caller; of the operator's, to who may end them,
// all.
func (s *server) listOwnSessions(c *call) (reply, error) {
	list := queryOf[pageQuery](c).read(&c.faults, "sessions")
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}
	own := new(c.caller.actor())
	if c.caller.endsSessionsOfOperators() {
		own = nil
	}
	return c.listSessions(list, c.caller.institution, own)
}

var listSessionsOperation = operation{
	Operation: web.Operation{
		ID: "listSessions", Tag: "Sessions", Summary: "List the sessions of an institution",
		Query: sessionQuery{}, Answer: listView[sessionView]{},
	},
}

// listSessions answers the sessions of an institution that have not ended.
func (s *server) listSessions(c *call) (reply, error) {
	query := queryOf[sessionQuery](c)
	list := query.read(&c.faults, "sessions of institution")
	var of *escrow.Actor
	if query.Actor != "" {
		actor, err := escrow.ParseActor(query.Actor)
		addFault(&c.faults, "actor", err)
		of = &actor
	}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	return c.listSessions(list, institution, of)
}

func (c *call) listSessions(list listRequest, of escrow.InstitutionID, actor *escrow.Actor) (reply, error) {
	sessions, err := c.server.engine.Sessions(c.context(), of, actor, list.page)
	return listed(list, sessions, c.viewSession, sessionCursor), err
}

var endOwnSessionOperation = operation{
	Operation: web.Operation{
		ID: "endOwnSession", Tag: "Sessions", Summary: "End one of one's own sessions; as root, one of the operator's",
		Status: http.StatusNoContent, AnswerHeaders: headers{forgetCookieHeader, forgetPagesHeader},
	},
	refusals: codes{escrow.CodeSessionNotFound},
}

// endOwnSession ends a session that acts for the caller, at once and on every server; of the operator's,
// for who may, any. Another's is answered as one that is not there.
func (s *server) endOwnSession(c *call) (reply, error) {
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.SessionID](c, "id", escrow.CodeSessionNotFound)
	if err != nil {
		return reply{}, err
	}

	session, err := s.engine.Session(c.context(), c.caller.institution, id)
	if err == nil && session.Actor != c.caller.actor() && !c.caller.endsSessionsOfOperators() {
		err = escrow.Errorf(escrow.CodeSessionNotFound, "There is no session %s.", id)
	}
	if err != nil {
		return reply{}, err
	}
	return c.endSession(c.caller.institution, id)
}

var endSessionOperation = operation{
	Operation: web.Operation{
		ID: "endSession", Tag: "Sessions", Summary: "End a session of the institution",
		Status: http.StatusNoContent, AnswerHeaders: headers{forgetCookieHeader, forgetPagesHeader},
	},
	refusals: codes{escrow.CodeSessionNotFound},
}

// endSession ends any session of an institution. No journal tells of sessions; the log says who did it.
func (s *server) endSession(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.SessionID](c, "sessionId", escrow.CodeSessionNotFound)
	if err != nil {
		return reply{}, err
	}
	return c.endSession(institution, id)
}

// endSession ends a session and, where it is the caller's, has the browser forget it.
func (c *call) endSession(of escrow.InstitutionID, id escrow.SessionID) (reply, error) {
	if err := c.server.engine.EndSession(c.context(), of, id); err != nil {
		return reply{}, err
	}
	c.server.log.LogAttrs(c.context(), slog.LevelInfo, "a session was ended", c.sessionAttributes(of, id)...)
	if current := c.caller.as.Session; current != nil && current.ID == id {
		c.forgetSession()
	}
	return reply{status: http.StatusNoContent}, nil
}

var logoutOperation = operation{
	Operation: web.Operation{
		ID: "logout", Tag: "Sessions", Summary: "End the session that the request comes with",
		Status: http.StatusNoContent, AnswerHeaders: headers{forgetCookieHeader, forgetPagesHeader},
	},
	refusals: codes{escrow.CodeSessionNotFound},
}

// logout ends the caller's session. A key or a token has none to end.
func (s *server) logout(c *call) (reply, error) {
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}
	current := c.caller.as.Session
	if current == nil {
		return reply{}, escrow.Errorf(escrow.CodeSessionNotFound, "The request did not come with a session.")
	}
	return c.endSession(c.caller.institution, current.ID)
}
