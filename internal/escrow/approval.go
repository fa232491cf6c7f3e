package escrow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// ApprovalStatus says what has become of an approval.
type ApprovalStatus string

// The states of an approval. All but the first are final.
const (
	ApprovalPending   ApprovalStatus = "PENDING"
	ApprovalExecuted  ApprovalStatus = "EXECUTED"
	ApprovalRejected  ApprovalStatus = "REJECTED"
	ApprovalWithdrawn ApprovalStatus = "WITHDRAWN"
	ApprovalExpired   ApprovalStatus = "EXPIRED"
	ApprovalFailed    ApprovalStatus = "FAILED"
)

// ApprovalStatuses lists the states of an approval, the first first.
func ApprovalStatuses() []ApprovalStatus {
	return []ApprovalStatus{
		ApprovalPending, ApprovalExecuted, ApprovalRejected, ApprovalWithdrawn, ApprovalExpired, ApprovalFailed,
	}
}

// MaxCommentLength bounds what a checker says, in characters.
const MaxCommentLength = MaxReasonLength

// Approval is a command that waits for others than who asked for it, or what became of one.
type Approval struct {
	ID            ApprovalID
	InstitutionID InstitutionID
	Status        ApprovalStatus
	// Request is the event with which it was asked for, in the bytes that the journal has, and Private
	// its private values, as they stand beside these; nil where they were erased.
	Request, Private []byte
	// Maker is who asked.
	Maker Actor
	// Given are the approvals so far, each of another person.
	Given []GivenApproval
	// Executed is the sequence of the first entry of the command, once it was carried out, and Entries
	// how many it has. Both are 0 where all was so already that it asked for.
	Executed, Entries int64
	// Refusal is why the command could not be carried out, of a FAILED one.
	Refusal *ApprovalRefusal
	// ErasedAt is when what was private of it was erased by itself, and not with a position; nil where it was not.
	// ErasureReason says that the reason of that is there, and can be erased as well.
	ErasedAt      *time.Time
	ErasureReason bool
	ExpiresAt     time.Time
	Version       int64 // 1 when asked for, one more with each entry
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// GivenApproval is one approval.
type GivenApproval struct {
	Actor Actor `json:"actor"`
	// Roles are those for which it can count.
	Roles []RoleName `json:"roles"`
	At    string     `json:"at"`
}

// ApprovalRefusal is why a command that was approved was refused.
type ApprovalRefusal struct {
	Code   Code   `json:"code"`
	Detail string `json:"detail"`
}

// ApprovalSubject is what an approval is about, one of several.
type ApprovalSubject struct {
	InstitutionID InstitutionID
	ApprovalID    ApprovalID
	// Number counts the subjects of an approval from 0.
	Number int64
	// Subject is how the journal names it.
	Subject    string
	Permission Permission
	// Amount is what is asked to be moved; no money where that is nothing.
	Amount money.Money
	// Holds says that the amount is taken from what the position holds.
	Holds bool
	// HolderReference is that of a position that is asked for; empty otherwise, and once it was erased.
	HolderReference string
}

// IsKept reports whether there is a row of the subject: what is there can be found by its name, and a position that
// is asked for by its holder.
func (s ApprovalSubject) IsKept() bool {
	return s.Subject != "" || s.Permission == PermissionPositionsCreate
}

// Name names the subject within its institution.
func (s ApprovalSubject) Name() string { return fmt.Sprintf("%s/%d", s.ApprovalID, s.Number) }

// AppliedRule is a rule that a command has met, as it was then.
type AppliedRule struct {
	ID RuleID `json:"id"`
	// Version is that of all rules together.
	Version int64             `json:"version"`
	Require []RuleRequirement `json:"require"`
}

// EntryApproval marks the entry of a command that took an approval.
type EntryApproval struct {
	ID ApprovalID `json:"id"`
	// By lists who approved, in the order in which they did.
	By []Actor `json:"by,omitempty"`
	// BreakGlass says that nobody did: the operator has carried it out at once.
	BreakGlass bool `json:"breakGlass,omitempty"`
}

// approvers lists who has approved.
func (a Approval) approvers() []Actor {
	actors := make([]Actor, len(a.Given), len(a.Given)+2)
	for i, given := range a.Given {
		actors[i] = given.Actor
	}
	return actors
}

// Asked returns what was asked for, with its private values as far as they are known.
func (a Approval) Asked() (AskedApproval, error) {
	e, err := a.request()
	if err != nil {
		return AskedApproval{}, err
	}
	return newAskedApproval(e, a.InstitutionID)
}

// AskedApproval is what an approval asks for, to be shown.
type AskedApproval struct {
	// Command is the command's written form as JSON, with private members in clear, and without the hash
	// of a key.
	Command []byte
	// Digest is the SHA-256 of the written form as the journal has it, with commitments in the place of
	// private members.
	Digest   Digest
	Rules    []AppliedRule
	Subjects []ApprovalSubject
	// BreakGlass says that the operator did not wait, and Reason why.
	BreakGlass bool
	Reason     string
	// KeyHash is that of the secret of the key that is asked for; zero where none is.
	KeyHash SecretHash
	// Erased says that something private of what is asked for was erased.
	Erased bool
}

// Digest is a SHA-256 of a written command.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

func newAskedApproval(e approvalRequested, institution InstitutionID) (asked AskedApproval, err error) {
	written, err := marshal(e.Command)
	if err != nil {
		return asked, err
	}
	shown, err := e.shownCommand()
	if err != nil {
		return asked, err
	}

	asked = AskedApproval{
		Command: shown, Digest: sha256.Sum256(written), Rules: e.Rules, BreakGlass: e.BreakGlass,
		Reason: e.Reason.value,
	}
	if f, ok := e.Command.form.(keyMakingForm); ok {
		var reader storedReader
		asked.KeyHash = reader.hash(f.keyHash())
		if reader.err != nil {
			return asked, reader.err
		}
	}
	e.withPrivate(func(_ string, member *private) { asked.Erased = asked.Erased || member.unknown() })
	asked.Subjects, err = e.subjectsOf(institution)
	return asked, err
}

// shownCommand is the command's written form with private members in clear, as far as they are known, and without
// what is kept from those to whom it is shown.
func (e approvalRequested) shownCommand() ([]byte, error) {
	open := e.withPrivate(func(_ string, member *private) { *member = private{value: member.value} })
	return marshal(open.(approvalRequested).redacted().(approvalRequested).Command) //nolint:errcheck,forcetypeassert // It is one.
}

// Missing returns which approvals are still missing.
func (a Approval) Missing() ([]RuleRequirement, error) {
	e, err := a.request()
	if err != nil {
		return nil, err
	}
	return e.missing(a.Given), nil
}

// lacking counts the approvals that are missing, of each rule by itself.
func (e approvalRequested) lacking(given []GivenApproval) (sum int) {
	for _, rule := range e.Rules {
		for _, one := range missingApprovals(rule.Require, rolesGiven(given)) {
			sum += one.Count
		}
	}
	return sum
}

func rolesGiven(given []GivenApproval) [][]RoleName {
	roles := make([][]RoleName, len(given))
	for i, one := range given {
		roles[i] = one.Roles
	}
	return roles
}

// missing returns what is missing beside some approvals: each rule is met by itself, so that an
// approval counts for all that ask for it.
func (e approvalRequested) missing(given []GivenApproval) []RuleRequirement {
	missing := []RuleRequirement{}
	for _, rule := range e.Rules {
		for _, one := range missingApprovals(rule.Require, rolesGiven(given)) {
			at := slices.IndexFunc(missing, func(other RuleRequirement) bool { return other.Role == one.Role })
			if at < 0 {
				missing = append(missing, one)
			} else {
				missing[at].Count = max(missing[at].Count, one.Count)
			}
		}
	}
	return missing
}
