package escrow

import "time"

// SecurityEvent is an attempt that was refused for a reason of security. It
// changed nothing and stands in no journal.
type SecurityEvent struct {
	ID            EntryID
	At            time.Time
	InstitutionID InstitutionID // zero where it is not known
	Actor         string        // as ParseActor reads it, or "unknown"
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
