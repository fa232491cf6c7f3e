package escrow

import "time"

// The bounds of a Session.
const (
	// SessionLifetime is how long a session lasts at most.
	SessionLifetime = 12 * time.Hour
	// SessionIdleTime is how long a session lasts without being used.
	SessionIdleTime = 30 * time.Minute
	// MaxSessions bounds the sessions of one user or key; the oldest ends for one more.
	MaxSessions = 100
	// MaxAgentLength bounds what is kept of the label of a session's agent, in characters.
	MaxAgentLength = 255
)

// Session lets a browser act for a key or a user without either's secret. It is no fact of business: no
// journal tells of it. It ends with the key or the user that it acts for, for good; see EndedWith.
type Session struct {
	ID            SessionID
	InstitutionID InstitutionID
	// KeyID or UserID is whom it acts for; the other is zero.
	KeyID  KeyID
	UserID UserID
	Hash   SecretHash // of its token
	// Groups are those that the user's token named at the login.
	Groups []string
	// Suspensions and VouchedSince are the user's Suspensions and the identity provider's CreatedAt at
	// the login; 0 and nil for a key.
	Suspensions  int64
	VouchedSince *time.Time
	CreatedAt    time.Time
	// LastSeenAt is up to two minutes late.
	LastSeenAt time.Time
	EndsAt     time.Time
	// Client is the address that it was begun from, and Agent what the browser calls itself.
	Client string
	Agent  string
}

// Actor is whom the session acts for.
func (s Session) Actor() Actor {
	if !s.UserID.IsZero() {
		return ActorUser(s.UserID)
	}
	return ActorKey(s.KeyID)
}

// Active reports whether the session has neither ended nor been idle for too long, whatever became of
// whom it acts for.
func (s Session) Active(at time.Time) bool {
	return at.Before(s.EndsAt) && at.Before(s.LastSeenAt.Add(SessionIdleTime))
}

// EndedWithKey reports whether the session has ended with its key: that is revoked, has expired, or
// was rotated, be it that it is still valid beside the new one.
func (s Session) EndedWithKey(key APIKey, at time.Time) bool {
	return key.ID != s.KeyID || !key.Active(at) || !key.RotatedTo.IsZero()
}

// EndedWithUser reports whether the session has ended with its user, who was suspended since, or with
// the identity provider, which was removed since or is another.
func (s Session) EndedWithUser(user User, provider IdentityProvider) bool {
	return user.ID != s.UserID || user.SuspendedAt != nil || user.Suspensions != s.Suspensions ||
		!provider.IsSet() || provider.Issuer != user.Issuer ||
		s.VouchedSince == nil || !provider.CreatedAt.Equal(*s.VouchedSince)
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
