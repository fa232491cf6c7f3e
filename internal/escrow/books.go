package escrow

import (
	"errors"
	"fmt"
	"time"
)

// Books is the part of one institution's state that a group of commands reads
// and changes. The store loads what the commands' Needs name, Execute applies
// the commands one after the other, and the store writes the outcome: the
// entries, and the rows that were created or updated.
//
// The books of the zero institution are the operator's: commands that make
// institutions run there.
type Books struct {
	Head         Head
	Institutions Rows[InstitutionID, Institution]
	Keys         Rows[KeyID, APIKey]
	Providers    Rows[InstitutionID, IdentityProvider]
	Users        Rows[UserID, User]
	Roles        Rows[RoleName, Role]
	Policies     Rows[Region, Policy]
	Templates    Rows[TemplateID, AssetTemplate]
	Assets       Rows[AssetID, Asset]
	Positions    Rows[PositionID, Position]
	Holds        Rows[HoldID, Hold]
	Erasures     Rows[ErasureID, Erasure]
	Secrets      Rows[SecretName, SealedSecret]
	Rules        Rows[InstitutionID, ApprovalRules]
	Approvals    Rows[ApprovalID, Approval]
	// Subjects are those of approvals that are pending, as far as they were asked for.
	Subjects Rows[string, ApprovalSubject]
	Moves    Rows[string, RecentMoves]
	Records  Rows[string, Record]
	// Entries are those that were appended, in order of sequence.
	Entries []Entry

	institutionID InstitutionID
	exists        bool
	opened        Head
	references    references
}

// NewBooks returns empty books of an institution; exists says whether there is
// such an institution, and head is where its journal ends.
func NewBooks(institution InstitutionID, head Head, exists bool) *Books {
	return &Books{institutionID: institution, Head: head, opened: head, exists: exists}
}

// Exists reports whether there is such an institution.
func (b *Books) Exists() bool { return b.exists }

// Opened returns the head of the journal as it was when the books were opened.
func (b *Books) Opened() Head { return b.opened }

// InstitutionID returns the institution that the books belong to.
func (b *Books) InstitutionID() InstitutionID { return b.institutionID }

func (b *Books) institution() Institution {
	institution, _ := b.Institutions.Get(b.institutionID)
	return institution
}

// Execute applies one request. A refused one leaves the books as they were, but
// for the record of its idempotency key, and so does one that lacks rows. The error is not nil only where the
// books contradict themselves; they must then be thrown away.
func (b *Books) Execute(r Request, s Stamp) (Outcome, error) {
	if r.Institution != b.institutionID {
		return Outcome{}, fmt.Errorf("a request of %s met the books of %s", r.Institution, b.institutionID)
	}
	if s.Secret == (Secret{}) {
		return Outcome{}, errors.New("the stamp of a request has no secret, so private values could be guessed")
	}

	if r.DryRun {
		return b.rehearse(r, s)
	}

	at := b.nextMoment(s.Now)
	outcome, decided, err := b.executeChecked(r, at, s)
	switch {
	case err != nil:
		return Outcome{}, err
	case decided:
		b.remember(r, outcome, at)
	}
	return outcome, nil
}

// rehearse answers what Execute would, and leaves the books as they are.
func (b *Books) rehearse(r Request, s Stamp) (Outcome, error) {
	r.Idempotency = nil // What is asked of a key is asked once.
	before, judgedOn := b.save(), b.Head.Sequence
	outcome, _, err := b.executeChecked(r, b.nextMoment(s.Now), s)
	if err != nil {
		return Outcome{}, err
	}
	b.rollBack(before)
	outcome.Sequence = judgedOn
	return outcome, nil
}

// executeChecked checks and carries out one request. It is decided where the outcome is that of its
// command, and not that the actor may not ask, that it was asked before, or that rows are lacking.
func (b *Books) executeChecked(r Request, at time.Time, s Stamp) (outcome Outcome, decided bool, err error) {
	outcome = b.checkRequest(&r, at)
	if outcome.Refusal != nil || outcome.Record != nil {
		return outcome, false, nil //nolint:nilerr // A refusal is an outcome.
	}
	if outcome.Lacks = b.lacks(r); outcome.Lacks != nil {
		return outcome, false, nil
	}
	outcome, err = b.carryOut(r, at, s)
	return outcome, true, err
}

// checkRequest returns the outcome of a request that must not be executed: its actor may
// not make it, or it repeats an earlier one. It notes the actor's rights in the request.
func (b *Books) checkRequest(r *Request, at time.Time) Outcome {
	_, operators := r.Command.(CreateInstitution)
	if operators != b.institutionID.IsZero() || operators && !r.Actor.IsOperators() {
		return Outcome{Refusal: Errorf(CodeForbidden,
			"Institutions are made by the operator, in the operator's books, and nothing else is.")}
	}

	if !b.exists {
		return Outcome{Refusal: Errorf(CodeInstitutionNotFound, "There is no institution %s.", r.Institution)}
	}
	var refusal *Error
	if r.rights, refusal = b.rights(*r, at); refusal == nil {
		refusal = b.checkRights(r.rights, r.Command)
	}
	if refusal != nil {
		return Outcome{Refusal: refusal}
	}
	record, refusal := b.repeated(*r)
	if record == nil && refusal == nil {
		refusal = b.checkHistory(r.Command)
	}
	if record == nil && refusal == nil {
		refusal = b.checkOpen(r.Command)
	}
	return Outcome{Record: record, Refusal: refusal}
}

// carryOut executes a request that was checked, or asks for the approval that it takes.
func (b *Books) carryOut(r Request, at time.Time, s Stamp) (Outcome, error) {
	asked, refusal, err := b.approvalFor(r, at, s)
	switch {
	case err != nil:
		return Outcome{}, err
	case refusal != nil:
		return Outcome{Refusal: refusal}, nil //nolint:nilerr // A refusal is an outcome.
	case asked != nil:
		return b.ask(r, *asked, s)
	}
	return b.carryOutNow(r, at, s)
}

// carryOutNow executes a request that takes no approval, or has it.
func (b *Books) carryOutNow(r Request, at time.Time, s Stamp) (Outcome, error) {
	switch command := r.Command.(type) {
	case PositionBatch:
		return b.executeBatch(r, command, s)
	case ApproveApproval:
		return b.approve(r, command, s)
	case single:
		return b.execute(r, command, at, s)
	}
	return Outcome{}, fmt.Errorf("%T is no command", r.Command)
}

func (b *Books) execute(r Request, command single, at time.Time, s Stamp) (Outcome, error) {
	event, refusal := command.decide(b, r, stamp{at: at, id: NewUUID(at, s.Random[0])})
	if refusal != nil {
		return Outcome{Refusal: refusal}, nil //nolint:nilerr // A refusal is an outcome.
	}
	if _, same := event.(unchanged); same {
		return Outcome{Resource: event.resource(b, Entry{}), Subject: event.subject(), Sequence: b.Head.Sequence}, nil
	}

	outcome, err := b.record(r, event, at, s)
	if err == nil {
		b.keepSecret(command)
	}
	return outcome, err
}

// record appends the entry of an event that a request has made.
func (b *Books) record(r Request, event event, at time.Time, s Stamp) (Outcome, error) {
	entry := Entry{
		InstitutionID: b.institutionID,
		Sequence:      b.Head.Sequence + 1,
		ID:            EntryID(NewUUID(at, s.Random[1])),
		At:            at,
		Actor:         r.Actor,
		RequestID:     r.RequestID,
		Kind:          event.kind(),
		Subject:       event.subject(),
		Approval:      r.approval,
	}
	entry.event, entry.Private = seal(event, s.Secret)
	switch made := event.(type) {
	case institutionCreated:
		// A new institution's first entry opens its own journal.
		entry.InstitutionID, entry.Sequence = made.ID, 1
	case userJoined:
		entry.Actor = ActorUser(made.ID) // It could not be named before.
	}

	var err error
	if entry.Body, err = entry.encode(); err != nil {
		return Outcome{}, fmt.Errorf("encode entry: %w", err)
	}
	if err := b.append(entry); err != nil {
		return Outcome{}, err
	}
	if err := b.keepWaitingSecret(r, event); err != nil {
		return Outcome{}, err
	}
	return Outcome{Resource: event.resource(b, entry), Subject: entry.Subject, Sequence: entry.Sequence}, nil
}

// append adds an entry to the journal and its event to the state.
func (b *Books) append(entry Entry) error {
	if err := entry.event.apply(b, entry); err != nil {
		return fmt.Errorf("apply %s of %s, sequence %d: %w", entry.Kind, entry.InstitutionID, entry.Sequence, err)
	}

	b.Head.At = entry.At
	if entry.InstitutionID == b.institutionID {
		b.Head.Sequence = entry.Sequence
	}
	b.Entries = append(b.Entries, entry)
	return nil
}

// savepoint is what rollBack restores beside the rows.
type savepoint struct {
	head    Head
	entries int
}

// save sets a savepoint. Until release or rollBack, one of which must follow,
// the rows note what changes in them.
func (b *Books) save() savepoint {
	for _, rows := range b.tables() {
		rows.save()
	}
	return savepoint{head: b.Head, entries: len(b.Entries)}
}

// release leaves the books as they are, without a savepoint.
func (b *Books) release() {
	for _, rows := range b.tables() {
		rows.release()
	}
}

// rollBack puts the books back to a savepoint, as if nothing had been executed since.
func (b *Books) rollBack(to savepoint) {
	for _, rows := range b.tables() {
		rows.rollBack()
	}
	b.Head, b.Entries = to.head, b.Entries[:to.entries]
}

// savable is a table of the books, of whatever rows.
type savable interface {
	save()
	release()
	rollBack()
}

// tables lists the tables of the books; a test compares the list with the fields.
func (b *Books) tables() []savable {
	return []savable{
		&b.Institutions, &b.Keys, &b.Providers, &b.Users, &b.Roles, &b.Policies, &b.Templates, &b.Assets,
		&b.Positions, &b.Holds, &b.Erasures, &b.Secrets, &b.Rules, &b.Approvals, &b.Subjects, &b.Moves, &b.Records,
	}
}

// nextMoment returns the time of the next entry: now, but always later than the
// last entry, whatever the clocks of different servers say.
func (b *Books) nextMoment(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Microsecond)
	if earliest := b.Head.At.Add(time.Microsecond); now.Before(earliest) {
		return earliest
	}
	return now
}
