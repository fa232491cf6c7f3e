package escrow

import "time"

// Command is one request to change something: a single one, or a PositionBatch of
// them.
type Command interface {
	// Needs names what is read to decide on the command.
	Needs() Needs
}

// single is a command that makes one event.
type single interface {
	Command
	// permission is the one that the command takes, empty where it takes none.
	permission() Permission
	// decide returns what happens when the command is accepted, or the refusal.
	// It changes nothing.
	decide(*Books, Request, stamp) (event, *Error)
}

// Request is a command with who asks for it.
type Request struct {
	// Institution is the one that the command concerns; zero for a command that
	// makes an institution.
	Institution InstitutionID
	Actor       Actor
	// RequestID is 1 to 128 characters of [A-Za-z0-9._:-].
	RequestID   string
	Command     Command
	Idempotency *Idempotency
	// Membership is what the token of a user said, who is the actor; it is empty for other actors.
	Membership Membership
	// OperatorRole is that of the actor where it is one of the operator's people, and empty for others.
	// No journal has it, so that nothing but this says what they may do.
	OperatorRole OperatorRole
	// OwnRole says that the actor's role is one of its institution's own, whose permissions are
	// read under the lock.
	OwnRole bool
	// Assets are those of the positions that the command names, which never change. They are only
	// asked for where the actor is restricted to some templates; a position whose asset is not
	// there is then not for it.
	Assets []AssetID
	// Further are rows that an earlier outcome of the request has found lacking, nil where there are none; see
	// Outcome.Lacks. Few requests have any, and all are copied on their way, so that they are not in the request
	// itself.
	Further *Needs
	// Hint says which approval rules the institution may have, so that what they are judged on is read at
	// once.
	Hint RulesHint
	// DryRun asks what would become of the request, and changes nothing. The idempotency key is left
	// alone.
	DryRun bool
	// BreakGlass is why the operator carries a command out at once that takes an approval; empty
	// where it is to be approved.
	BreakGlass string

	// approval is the one with which the request is carried out, nil where it takes none.
	approval *EntryApproval
	rights   Rights // of the actor, as Execute has found them
}

// Needs names the rows that the request reads: its command's, its actor's key,
// and the record under its idempotency key.
func (r Request) Needs() Needs {
	needs := r.Command.Needs()
	if !r.Actor.Key.IsZero() {
		needs.Keys = append(needs.Keys, r.Actor.Key)
	}

	if r.Actor.IsUser() {
		// Which roles the groups have is not known before the provider is read.
		needs.Provider, needs.Roles = true, true
		if !r.Actor.User.IsZero() {
			needs.Users = append(needs.Users, r.Actor.User)
		}
	}
	needs.Roles = needs.Roles || r.OwnRole
	needs.Assets = append(needs.Assets, r.Assets...)
	if r.Further != nil {
		needs.add(*r.Further)
	}
	r.addNeedsOfRules(r.Hint, &needs)
	if r.Idempotency != nil {
		needs.Records = append(needs.Records, r.Idempotency.Key)
	}
	return needs
}

// With returns the request with further rows to read; see Outcome.Lacks.
func (r Request) With(further Needs) Request {
	var both Needs // Other requests can have the same.
	if r.Further != nil {
		both.add(*r.Further)
	}
	both.add(further)
	both.distinct()
	r.Further = &both
	return r
}

// Weight is how many commands the request counts for: one, or the items of a batch.
func (r Request) Weight() int {
	if batch, ok := r.Command.(PositionBatch); ok {
		return len(batch.items)
	}
	return 1
}

// Stamp is what execution takes from outside: the clock and random bits. The
// same stamp gives the same result.
type Stamp struct {
	Now time.Time
	// Random gives the ids of the new resource and of the entry their random bits;
	// from it a batch derives those of its items.
	Random [2]uint64
	// Secret is that of the entry, never to be used again; of a batch, those of its entries are
	// made of it.
	Secret Secret
}

// stamp is a Stamp as a command sees it: the time of its entry, and an id for what it
// makes.
type stamp struct {
	at time.Time
	id [16]byte
}

// Outcome is what became of a request: it was accepted, with a Resource; or
// refused, with a Refusal; or repeated an earlier one, whose Record says what
// became of that.
type Outcome struct {
	Resource Resource
	// Subject and Sequence name the resource and the state it is in: that right
	// after the entry of the sequence.
	Subject  string
	Sequence int64
	Refusal  *Error
	Record   *Record
	// Lacks names rows that the books must have before the request can be decided: it changed
	// nothing, and is to be executed again, on books that have them. It is nil where they have all.
	Lacks *Needs
}
