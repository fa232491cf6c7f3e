package escrow

import (
	"crypto/subtle"
	"time"
)

// The bounds of a Session.
const (
	// SessionLifetime is how long a session lasts at most.
	SessionLifetime = 12 * time.Hour
	// SessionIdleTime is how long a session lasts without being used.
	SessionIdleTime = 30 * time.Minute
	// MaxSessions bounds the sessions of one actor; the oldest ends for one more.
	MaxSessions = 100
	// MaxAgentLength bounds what is kept of the label of a session's agent, in characters.
	MaxAgentLength = 255
)

// Session lets a browser act for somebody without their secret. It is no fact of business: no journal
// tells of it. It ends with whom it acts for, for good; see EndedWithKey, EndedWithUser and
// EndedWithOperators.
type Session struct {
	ID SessionID
	// InstitutionID is zero for a session of the operator's.
	InstitutionID InstitutionID
	Actor         Actor      // a key, a user, one of the operator's people or the root key
	Hash          SecretHash // of its token
	// Groups are those that the token of a person named at the login.
	Groups []string
	// Suspensions and VouchedSince are the user's Suspensions and the identity provider's CreatedAt at
	// the login; 0 and nil for others.
	Suspensions  int64
	VouchedSince *time.Time
	// VouchedBy is what Operators.Vouch was at the beginning; nil for keys and users.
	VouchedBy []byte
	CreatedAt time.Time
	// LastSeenAt is up to two minutes late.
	LastSeenAt time.Time
	EndsAt     time.Time
	// Client is the address that it was begun from, and Agent what the browser calls itself.
	Client string
	Agent  string
}

// Active reports whether the session has neither ended nor been idle for too long, whatever became of
// whom it acts for.
func (s Session) Active(at time.Time) bool {
	return at.Before(s.EndsAt) && at.Before(s.LastSeenAt.Add(SessionIdleTime))
}

// EndedWithKey reports whether the session has ended with its key: that is revoked, has expired, or
// was rotated, be it that it is still valid beside the new one.
func (s Session) EndedWithKey(key APIKey, at time.Time) bool {
	return s.Actor != ActorKey(key.ID) || key.ID.IsZero() || !key.Active(at) || !key.RotatedTo.IsZero()
}

// EndedWithUser reports whether the session has ended with its user, who was suspended since, or with
// the identity provider, which was removed since or is another.
func (s Session) EndedWithUser(user User, provider IdentityProvider) bool {
	return s.Actor != ActorUser(user.ID) || user.ID.IsZero() ||
		user.SuspendedAt != nil || user.Suspensions != s.Suspensions ||
		!provider.IsSet() || provider.Issuer != user.Issuer ||
		s.VouchedSince == nil || !provider.CreatedAt.Equal(*s.VouchedSince)
}

// EndedWithOperators reports whether a session of the operator's has ended by how the operator is
// configured now: the root key is another or turned off, the people come from another provider or as
// another client, or no group of the login has a role any more.
func (s Session) EndedWithOperators(o Operators) bool {
	vouched := o.Vouch(s)
	if vouched == nil || subtle.ConstantTimeCompare(vouched, s.VouchedBy) != 1 {
		return true
	}
	return s.Actor != ActorRoot() && o.Role(s.Groups) == ""
}

// ShownAgent returns what is kept of the label of an agent.
func ShownAgent(text string) string {
	var kept []rune
	for _, r := range text {
		if len(kept) == MaxAgentLength {
			break
		}
		if checkText(string(r), 1) == nil || r == ' ' {
			kept = append(kept, r)
		}
	}
	return string(kept)
}
