package escrow

import "time"

// ActorUnknown is the Actor of a security event without a valid key.
const ActorUnknown = "unknown"

// SecurityEvent is an attempt that was refused for a reason of security, or several that are
// alike, within a minute. They changed nothing and stand in no journal.
type SecurityEvent struct {
	ID EntryID
	// At is the time of the first, LastAt that of the last of Count attempts.
	At            time.Time
	LastAt        time.Time
	Count         int64
	InstitutionID InstitutionID // zero where it is not known
	Actor         string        // as ParseActor reads it, or ActorUnknown
	Code          Code
	Method, Path  string
	Client        string // the client's address
	RequestID     string
}

// SecurityEventFilter chooses security events.
type SecurityEventFilter struct {
	Period
	Institution *InstitutionID
	Actor       string
}
