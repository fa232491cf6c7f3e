package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var sessionTable = newTable("sessions", func(s *escrow.Session) []column {
	return []column{
		key("institution_id", uuidColumn(&s.InstitutionID)),
		key("id", uuidColumn(&s.ID)),
		fixed("actor", actorColumn(&s.Actor)),
		fixed("hash", hashColumn((*[32]byte)(&s.Hash))),
		fixed("groups", wordsColumn(&s.Groups)),
		fixed("suspensions", bigintColumn(&s.Suspensions)),
		fixed("vouched_since", optionalTimeColumn(&s.VouchedSince)),
		fixed("vouched_by", bytesColumn(&s.VouchedBy)),
		fixed("created_at", timeColumn(&s.CreatedAt)),
		changing("last_seen_at", timeColumn(&s.LastSeenAt)),
		fixed("ends_at", timeColumn(&s.EndsAt)),
		fixed("client", textColumn(&s.Client)),
		fixed("agent", textColumn(&s.Agent)),
	}
}, purged())

// AddSession adds a session, and ends the oldest ones of whom it acts for beyond escrow.MaxSessions.
func (s *Store) AddSession(ctx context.Context, session escrow.Session) error {
	err := s.database.transact(ctx, func(sink changeSink) error {
		return insert(sink, sessionTable, []escrow.Session{session})
	})
	if err != nil {
		return Failure(err)
	}
	_, err = s.database.exec(ctx, sessionsBeyond,
		[]any{idArg(session.InstitutionID), session.Actor.String(), int64(escrow.MaxSessions)})
	return Failure(err)
}

// sessionsBeyond ends the sessions of one actor that are older than so many.
const sessionsBeyond = `DELETE FROM sessions WHERE institution_id = $1 AND id IN (
	SELECT id FROM sessions WHERE institution_id = $1 AND actor = $2 ORDER BY id DESC LIMIT 1000 OFFSET $3)`

// SessionByHash returns the session of a token, or CodeInvalidSession, whether it has ended or not. Whoever
// asks shares one query at a time with all others, as in KeyByHash.
func (s *Store) SessionByHash(ctx context.Context, hash escrow.SecretHash) (escrow.Session, error) {
	session, found, err := s.tokens.read(ctx, hash)
	if err == nil && !found {
		err = escrow.InvalidSession()
	}
	return session, Failure(err)
}

// sessionsByHash returns the sessions of some tokens, at most maxHashes.
func (s *Store) sessionsByHash(
	ctx context.Context, hashes []escrow.SecretHash,
) (map[escrow.SecretHash]escrow.Session, error) {
	sessions := make(map[escrow.SecretHash]escrow.Session, len(hashes))
	err := s.database.query(ctx, sessionsByHashQuery, hashArgs(hashes), func(r row) error {
		session, err := sessionTable.scan(r)
		sessions[session.Hash] = session
		return err
	})
	return sessions, err
}

var sessionsByHashQuery = "SELECT " + sessionTable.list + " FROM sessions WHERE hash IN (" + places(1, maxHashes) + ")"

// Session returns one session of an institution, or of the operator for the zero id, whether it has ended or
// not; or CodeSessionNotFound.
func (s *Store) Session(
	ctx context.Context, institution escrow.InstitutionID, id escrow.SessionID,
) (escrow.Session, error) {
	key := []any{idArg(institution), idArg(id)}
	session, found, err := one(ctx, s.database, sessionTable.byKey, key, sessionTable.scan)
	return must(session, found, err, escrow.CodeSessionNotFound, "session", id)
}

// Sessions returns a page of the sessions of an institution, or of the operator for the zero id, whether they
// have ended or not; with an actor, of those that act for it.
func (s *Store) Sessions(
	ctx context.Context, institution escrow.InstitutionID, actor *escrow.Actor, page escrow.PageRequest,
) (escrow.Page[escrow.Session], error) {
	l := listOf(sessionTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if actor != nil {
		l.where("actor = %s", actor.String())
	}
	return idPage(ctx, s.database, l, escrow.Period{}, page, sessionTable.scan)
}

// EndSession ends a session, and reports whether it was there.
func (s *Store) EndSession(
	ctx context.Context, institution escrow.InstitutionID, id escrow.SessionID,
) (bool, error) {
	ended, err := s.database.exec(ctx, endSession, []any{idArg(institution), idArg(id)})
	return ended > 0, Failure(err)
}

const endSession = "DELETE FROM sessions WHERE institution_id = $1 AND id = $2"

// NoteSessions keeps when sessions were last seen. Of one that has ended meanwhile nothing is kept.
func (s *Store) NoteSessions(ctx context.Context, seen []escrow.Session) error {
	return s.database.transact(ctx, func(sink changeSink) error { return update(sink, sessionTable, seen) })
}

// purgeSessions removes sessions that have ended, at most limit.
func (s *Store) purgeSessions(ctx context.Context, now time.Time, limit int) (int64, error) {
	return s.database.exec(ctx, `DELETE FROM sessions WHERE (institution_id, id) IN (
		SELECT institution_id, id FROM sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2)`,
		[]any{now, int64(limit)})
}
