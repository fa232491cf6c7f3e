package engine

import (
	"context"
	"crypto/rand"
	"net/netip"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const (
	// sessionNoteAge is how old what is kept of a session's last use is before the next use is noted.
	sessionNoteAge = time.Minute
	// seenInterval is how often it is written when sessions were last seen.
	seenInterval = 30 * time.Second
)

// sessionSeen tells which session was seen, and when.
func sessionSeen(session escrow.Session) (escrow.InstitutionID, escrow.SessionID, time.Time) {
	return session.InstitutionID, session.ID, session.LastSeenAt
}

// OpenSession begins a session for a caller, who has come from an address with an agent of some label,
// and returns it with its token, which is in no database and told this once. It lasts for
// escrow.SessionLifetime, and no longer than the caller's key; of one actor there are
// escrow.MaxSessions, and the oldest ends for one more.
//
// It is CodeKeyRotated for a key that has a successor, and CodeForbidden for a caller who came with a
// session: one session does not prolong another. What ends sessions is told with SessionByToken.
func (e *Engine) OpenSession(
	ctx context.Context, caller *Caller, client netip.Addr, agent string,
) (escrow.Session, string, error) {
	if caller.Session != nil {
		return escrow.Session{}, "", escrow.Errorf(escrow.CodeForbidden,
			"A session begins with a login or a key, and not with another session.")
	}
	if to := caller.Key.RotatedTo; !to.IsZero() {
		return escrow.Session{}, "", escrow.Errorf(escrow.CodeKeyRotated,
			"The API key %s was rotated to %s; use that one.", caller.Key.ID, to)
	}

	now := e.config.Now().UTC().Truncate(time.Microsecond)
	token, id := newToken()
	session := escrow.Session{
		ID:            escrow.SessionID(escrow.NewUUID(now, id)),
		InstitutionID: caller.Institution(),
		Actor:         caller.Actor(),
		Hash:          escrow.HashSecret(token),
		Groups:        caller.Membership.Groups,
		CreatedAt:     now,
		LastSeenAt:    now,
		EndsAt:        now.Add(escrow.SessionLifetime),
		Client:        client.String(),
		Agent:         escrow.ShownAgent(agent),
	}
	session.VouchedBy = e.config.Operators.Vouch(session)
	if caller.User != nil {
		session.Suspensions = caller.User.Suspensions
		session.VouchedSince = &caller.Provider.CreatedAt
	}
	if ends := caller.Key.ExpiresAt; ends != nil && ends.Before(session.EndsAt) {
		session.EndsAt = *ends
	}

	if err := e.store.AddSession(ctx, session); err != nil {
		return escrow.Session{}, "", err
	}
	return session, token, nil
}

// newToken makes the token of a session, and random bits for its id.
func newToken() (token string, id uint64) {
	var random [40]byte
	_, _ = rand.Read(random[:]) // It never fails.
	for _, b := range random[32:] {
		id = id<<8 | uint64(b)
	}
	return escrow.NewSessionToken([32]byte(random[:32])), id
}

// SessionByToken returns the caller who has the token of a session, with that session, and notes that it was
// seen. It is CodeInvalidSession where the token is of no session, or the session has ended: it is
// older than escrow.SessionLifetime, was idle for escrow.SessionIdleTime, give or take two minutes, or
// was ended; its key was revoked, has expired or was rotated; its user was suspended since, whatever
// came after; or the identity provider was removed since, or has another issuer. Sessions of the
// operator's end with how the operator is configured: see escrow.Session.EndedWithOperators.
//
// The answer is as new as the call, on every instance; commands are judged again under the lock of the
// journal. Whether the key may be used from where the caller is now is for whoever asks.
func (e *Engine) SessionByToken(ctx context.Context, token string) (*Caller, error) {
	if escrow.CheckSessionToken(token) != nil {
		return nil, escrow.InvalidSession()
	}
	session, err := e.store.SessionByHash(ctx, escrow.HashSecret(token))
	if err != nil {
		return nil, err
	}

	now := e.config.Now().UTC().Truncate(time.Microsecond)
	e.addSeen(&session)
	if !session.Active(now) {
		return nil, escrow.InvalidSession()
	}
	caller, err := e.callerOf(ctx, session)
	if err != nil {
		return nil, err
	}

	if now.Sub(session.LastSeenAt) >= sessionNoteAge {
		session.LastSeenAt = now
		e.seenSessions.note(escrow.Session{InstitutionID: session.InstitutionID, ID: session.ID, LastSeenAt: now})
	}
	caller.Session = &session
	return caller, nil
}

// callerOf returns whom a session acts for, or CodeInvalidSession where it has ended with them.
func (e *Engine) callerOf(ctx context.Context, session escrow.Session) (*Caller, error) {
	switch {
	case session.Actor.IsOperators():
		return operatorOf(session, e.config.Operators)
	case session.Actor.IsUser():
		return e.userOfSession(ctx, session)
	}
	return e.keyOfSession(ctx, session)
}

// operatorOf is callerOf of a session of the operator's.
func operatorOf(session escrow.Session, operators escrow.Operators) (*Caller, error) {
	if session.EndedWithOperators(operators) {
		return nil, escrow.InvalidSession()
	}
	if session.Actor == escrow.ActorRoot() {
		return RootCaller(), nil
	}
	said := escrow.Membership{Issuer: operators.Issuer, Groups: session.Groups}
	return OperatorCaller(session.Actor.Operator, said, operators.Role(session.Groups)), nil
}

// keyOfSession is callerOf of a session of a key.
func (e *Engine) keyOfSession(ctx context.Context, session escrow.Session) (*Caller, error) {
	key, err := e.store.Key(ctx, session.InstitutionID, session.Actor.Key)
	switch {
	case escrow.ErrorCode(err) == escrow.CodeKeyNotFound:
		return nil, escrow.InvalidSession()
	case err != nil:
		return nil, err
	case session.EndedWithKey(key, e.config.Now()):
		return nil, escrow.InvalidSession()
	}

	rights, err := e.rightsOfKey(ctx, key)
	return &Caller{Key: key, Rights: rights}, err
}

// userOfSession is callerOf of a session of a user.
func (e *Engine) userOfSession(ctx context.Context, session escrow.Session) (*Caller, error) {
	of := session.InstitutionID
	user, err := e.store.User(ctx, of, session.Actor.User)
	var provider escrow.IdentityProvider
	if err == nil {
		provider, err = e.store.IdentityProvider(ctx, of)
	}
	switch code := escrow.ErrorCode(err); {
	case err == nil:
	case code == escrow.CodeUserNotFound, code == escrow.CodeProviderNotFound:
		return nil, escrow.InvalidSession()
	default:
		return nil, err
	}
	if session.EndedWithUser(user, provider) {
		return nil, escrow.InvalidSession()
	}

	membership := escrow.Membership{Issuer: user.Issuer, Groups: session.Groups}
	rights, err := e.rightsOfUser(ctx, user, membership, provider)
	return &Caller{User: &user, Provider: &provider, Membership: membership, Rights: rights}, err
}

// Session returns one session of an institution, or of the operator for the zero id, whether it has ended
// or not: who asks can see whose it is before ending it. It is CodeSessionNotFound where there is none.
func (e *Engine) Session(
	ctx context.Context, of escrow.InstitutionID, id escrow.SessionID,
) (escrow.Session, error) {
	session, err := e.store.Session(ctx, of, id)
	if err == nil {
		e.addSeen(&session)
	}
	return session, err
}

// EndSession ends a session of an institution, or of the operator for the zero id, at once, on every
// instance. It is CodeSessionNotFound where there is none, or it was ended already.
func (e *Engine) EndSession(ctx context.Context, of escrow.InstitutionID, id escrow.SessionID) error {
	ended, err := e.store.EndSession(ctx, of, id)
	if err == nil && !ended {
		err = escrow.Errorf(escrow.CodeSessionNotFound, "There is no session %s.", id)
	}
	e.seenSessions.forget(id)
	return err
}

// Sessions returns a page of the sessions of an institution, or of the operator for the zero id, that have
// not ended, in the order in which they began; with an actor, of those that act for it. What has ended
// with whom it acts for is left out, so that a page can have fewer than were asked for although there are
// more.
func (e *Engine) Sessions(
	ctx context.Context, of escrow.InstitutionID, actor *escrow.Actor, page escrow.PageRequest,
) (escrow.Page[escrow.Session], error) {
	ctx = WithSnapshot(ctx) // Many act for the same.
	found, err := e.store.Sessions(ctx, of, actor, page)
	if err != nil {
		return found, err
	}
	if last := len(found.Items) - 1; found.More && last >= 0 {
		found.Next = new(escrow.IDCursor(found.Items[last].ID))
	}

	items := make([]escrow.Session, 0, len(found.Items))
	for _, session := range found.Items {
		e.addSeen(&session)
		if !session.Active(e.config.Now()) {
			continue
		}
		switch _, err := e.callerOf(ctx, session); {
		case err == nil:
			items = append(items, session)
		case escrow.ErrorCode(err) != escrow.CodeInvalidSession:
			return escrow.Page[escrow.Session]{}, err
		}
	}
	found.Items = items
	return found, nil
}

// addSeen sets when a session was last seen, where a later time waits to be written.
func (e *Engine) addSeen(session *escrow.Session) {
	if waiting, later := e.seenSessions.after(session.ID, session.LastSeenAt); later {
		session.LastSeenAt = waiting.LastSeenAt
	}
}

// writeSeenSessions writes when sessions were last seen, now and then and when the engine closes. What
// cannot be written waits on.
func (e *Engine) writeSeenSessions(ctx context.Context) {
	e.everyAndLast(ctx, seenInterval, func(ctx context.Context) {
		e.seenSessions.flush(ctx, e.store.NoteSessions, func(err error) { e.dutyFailed(dutySessions, err) })
	})
}
