package escrow

import (
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The kinds of entry that record what became of an approval.
const (
	KindApprovalRequested Kind = "APPROVAL_REQUESTED"
	KindApprovalGiven     Kind = "APPROVAL_GIVEN"
	KindApprovalRejected  Kind = "APPROVAL_REJECTED"
	KindApprovalWithdrawn Kind = "APPROVAL_WITHDRAWN"
	KindApprovalExpired   Kind = "APPROVAL_EXPIRED"
	KindApprovalFailed    Kind = "APPROVAL_FAILED"
)

var approvalEventKinds = []eventKind{
	{kind: KindApprovalRequested, decode: decodeEvent[approvalRequested]},
	{kind: KindApprovalGiven, decode: decodeEvent[approvalGiven]},
	{kind: KindApprovalRejected, decode: decodeEvent[approvalRejected]},
	{kind: KindApprovalWithdrawn, decode: decodeEvent[approvalWithdrawn]},
	{kind: KindApprovalExpired, decode: decodeEvent[approvalExpired]},
	{kind: KindApprovalFailed, decode: decodeEvent[approvalFailed]},
	{kind: KindApprovalDataErased, decode: decodeEvent[approvalDataErased]},
}

// approvalRequested says what is asked for: the command's written form, and the rules that it has met.
type approvalRequested struct {
	ID       ApprovalID     `json:"id"`
	Command  writtenCommand `json:"command"`
	Subjects []subjectState `json:"subjects"`
	Rules    []AppliedRule  `json:"rules"`
	// ExpiresAt is until when it waits.
	ExpiresAt string `json:"expiresAt"`
	// BreakGlass says that the operator does not wait: the entries of the command, so many, follow.
	BreakGlass bool        `json:"breakGlass,omitempty"`
	Reason     privateText `json:"reason,omitzero"`
	Entries    int64       `json:"entries,omitempty"`
}

// subjectState is what a command of an approval is about. Of one that makes something, Subject is empty.
type subjectState struct {
	Subject    string     `json:"subject,omitempty"`
	Permission Permission `json:"permission"`
	Currency   money.Code `json:"currency,omitempty"`
	Amount     string     `json:"amount,omitempty"`
	// Holds says that the amount is taken from what the position holds.
	Holds bool `json:"holds,omitempty"`
}

// withPrivate implements personal.
func (e approvalRequested) withPrivate(each func(name string, member *private)) event {
	if e.Command.form != nil { // There is none before one was read.
		e.Command = writtenCommand{e.Command.each(func(name string, member *private) { each("command."+name, member) })}
	}
	each("reason", &e.Reason.private)
	return e
}

// redacted implements redacting.
func (e approvalRequested) redacted() event {
	if f, ok := e.Command.form.(redactingForm); ok {
		e.Command = writtenCommand{f.redacted()}
	}
	return e
}

func (approvalRequested) kind() Kind        { return KindApprovalRequested }
func (e approvalRequested) subject() string { return e.ID.String() }

func (e approvalRequested) resource(b *Books, _ Entry) Resource { return b.Approvals.mustGet(e.ID) }

func (e approvalRequested) apply(b *Books, entry Entry) error {
	if _, made := b.Approvals.Get(e.ID); made {
		return fmt.Errorf("approval %s was asked for before", e.ID)
	}
	var reader storedReader
	a := Approval{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		Status:        ApprovalPending,
		Private:       entry.Private,
		Maker:         entry.Actor,
		ExpiresAt:     reader.time(e.ExpiresAt),
		Version:       1,
		CreatedAt:     entry.At,
		UpdatedAt:     entry.At,
	}
	if e.BreakGlass {
		a.Status, a.Executed, a.Entries = ApprovalExecuted, entry.Sequence+1, e.Entries
	} else {
		b.Head.Approvals++
	}

	var err error
	a.Request, err = marshal(e)
	reader.keep(err)
	subjects, err := e.subjectsOf(entry.InstitutionID)
	reader.keep(err)
	if reader.err != nil {
		return reader.err
	}
	b.Approvals.Put(e.ID, a)
	for _, s := range subjects {
		if s.IsKept() {
			b.Subjects.Put(s.Name(), s)
		}
	}
	return nil
}

// subjectsOf returns what the event is about.
func (e approvalRequested) subjectsOf(institution InstitutionID) ([]ApprovalSubject, error) {
	var reader storedReader
	subjects, forms := make([]ApprovalSubject, len(e.Subjects)), e.forms()

	for i, s := range e.Subjects {
		subjects[i] = ApprovalSubject{
			InstitutionID: institution,
			ApprovalID:    e.ID,
			Number:        int64(i),
			Subject:       s.Subject,
			Permission:    s.Permission,
			Amount:        reader.optionalMoney(s.Amount, s.Currency),
			Holds:         s.Holds,
		}
		if i < len(forms) {
			subjects[i].HolderReference = holderOf(forms[i])
		}
	}
	return subjects, reader.err
}

// request reads the event with which the approval was asked for.
func (a Approval) request() (e approvalRequested, err error) {
	if err := jsonv2.Unmarshal(a.Request, &e, asStored); err != nil {
		return e, fmt.Errorf("approval %s: %w", a.ID, err)
	}
	opened, err := unseal(e, a.Private)
	if err != nil {
		return e, fmt.Errorf("approval %s: %w", a.ID, err)
	}
	return opened.(approvalRequested), nil //nolint:errcheck,forcetypeassert // It stays what it is.
}

// command reads the command that is asked for.
func (a Approval) command() (Command, error) {
	e, err := a.request()
	if err != nil {
		return nil, err
	}

	e.withPrivate(func(name string, member *private) {
		if member.unknown() && err == nil {
			err = fmt.Errorf("its %s is not known", name)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("approval %s: %w", a.ID, err)
	}
	command, err := e.Command.command()
	if err != nil {
		return nil, fmt.Errorf("approval %s: %w", a.ID, err)
	}
	return command, nil
}

// approvalGiven is one approval. The last one tells the outcome: the entries of the command follow right
// behind it, or APPROVAL_FAILED does.
type approvalGiven struct {
	ID      ApprovalID  `json:"id"`
	Roles   []RoleName  `json:"roles"`
	Comment privateText `json:"comment,omitzero"`
	// Outcome is ApprovalExecuted or ApprovalFailed of the last approval, and empty before that.
	Outcome ApprovalStatus `json:"outcome,omitempty"`
	// Entries is how many entries the command has: none where all is so already that it asks for.
	Entries int64 `json:"entries,omitempty"`
}

// withPrivate implements personal.
func (e approvalGiven) withPrivate(each func(name string, member *private)) event {
	each("comment", &e.Comment.private)
	return e
}

func (approvalGiven) kind() Kind        { return KindApprovalGiven }
func (e approvalGiven) subject() string { return e.ID.String() }
func (e approvalGiven) rewrites() Needs { return Needs{Approvals: []ApprovalID{e.ID}} }

func (e approvalGiven) resource(b *Books, _ Entry) Resource { return b.Approvals.mustGet(e.ID) }

func (e approvalGiven) apply(b *Books, entry Entry) error {
	return b.changeApproval(e.ID, entry, func(a *Approval) {
		given := GivenApproval{Actor: entry.Actor, Roles: e.Roles, At: FormatTime(entry.At)}
		a.Given = append(slices.Clone(a.Given), given)
		if e.Outcome != ApprovalExecuted {
			return
		}
		a.Status = ApprovalExecuted
		if e.Entries > 0 {
			a.Executed, a.Entries = entry.Sequence+1, e.Entries
		}
	})
}

// changeApproval changes an approval that is pending.
func (b *Books) changeApproval(id ApprovalID, entry Entry, change func(*Approval)) error {
	a, ok := b.Approvals.Get(id)
	if !ok || a.Status != ApprovalPending {
		return fmt.Errorf("approval %s is not pending", id)
	}
	change(&a)
	a.Version++
	a.UpdatedAt = entry.At
	b.Approvals.Put(id, a)
	if a.Status != ApprovalPending {
		b.Head.Approvals--
	}
	return nil
}

type approvalRejected struct {
	ID      ApprovalID  `json:"id"`
	Comment privateText `json:"comment,omitzero"`
}

// withPrivate implements personal.
func (e approvalRejected) withPrivate(each func(name string, member *private)) event {
	each("comment", &e.Comment.private)
	return e
}

type (
	approvalWithdrawn struct {
		ID ApprovalID `json:"id"`
	}
	approvalExpired struct {
		ID ApprovalID `json:"id"`
	}
	// approvalFailed says why the command was refused that had all approvals.
	approvalFailed struct {
		ID      ApprovalID      `json:"id"`
		Refusal ApprovalRefusal `json:"refusal"`
	}
)

func (approvalRejected) kind() Kind  { return KindApprovalRejected }
func (approvalWithdrawn) kind() Kind { return KindApprovalWithdrawn }
func (approvalExpired) kind() Kind   { return KindApprovalExpired }
func (approvalFailed) kind() Kind    { return KindApprovalFailed }

func (e approvalRejected) subject() string  { return e.ID.String() }
func (e approvalWithdrawn) subject() string { return e.ID.String() }
func (e approvalExpired) subject() string   { return e.ID.String() }
func (e approvalFailed) subject() string    { return e.ID.String() }

func (e approvalRejected) rewrites() Needs  { return Needs{Approvals: []ApprovalID{e.ID}} }
func (e approvalWithdrawn) rewrites() Needs { return Needs{Approvals: []ApprovalID{e.ID}} }
func (e approvalExpired) rewrites() Needs   { return Needs{Approvals: []ApprovalID{e.ID}} }
func (e approvalFailed) rewrites() Needs    { return Needs{Approvals: []ApprovalID{e.ID}} }

func (e approvalRejected) resource(b *Books, _ Entry) Resource  { return b.Approvals.mustGet(e.ID) }
func (e approvalWithdrawn) resource(b *Books, _ Entry) Resource { return b.Approvals.mustGet(e.ID) }
func (e approvalExpired) resource(b *Books, _ Entry) Resource   { return b.Approvals.mustGet(e.ID) }
func (e approvalFailed) resource(b *Books, _ Entry) Resource    { return b.Approvals.mustGet(e.ID) }

func (e approvalRejected) apply(b *Books, entry Entry) error {
	return b.changeApproval(e.ID, entry, func(a *Approval) { a.Status = ApprovalRejected })
}

func (e approvalWithdrawn) apply(b *Books, entry Entry) error {
	return b.changeApproval(e.ID, entry, func(a *Approval) { a.Status = ApprovalWithdrawn })
}

func (e approvalExpired) apply(b *Books, entry Entry) error {
	return b.changeApproval(e.ID, entry, func(a *Approval) { a.Status = ApprovalExpired })
}

func (e approvalFailed) apply(b *Books, entry Entry) error {
	return b.changeApproval(e.ID, entry, func(a *Approval) { a.Status, a.Refusal = ApprovalFailed, &e.Refusal })
}
