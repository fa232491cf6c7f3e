package escrow

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Kind says what an entry of a journal records.
type Kind string

// eventKind is what there is to know of the entries of one kind.
type eventKind struct {
	kind Kind
	// decode reads an event of the kind out of an entry's body.
	decode func([]byte) (event, error)
	// ledger says that entries of the kind belong to the ledger: they concern positions and
	// their money. moves says that they can move money.
	ledger, moves bool
}

// eventKinds is every kind of entry, in the order in which they are documented. A noun
// lists its kinds beside its events.
var eventKinds = slices.Concat(
	institutionEventKinds, keyEventKinds, providerEventKinds, userEventKinds, roleEventKinds, policyEventKinds,
	templateEventKinds, assetEventKinds, positionEventKinds, erasureEventKinds, rulesEventKinds, approvalEventKinds,
)

// Kinds lists the kinds of entry.
func Kinds() []Kind { return kindsWhere(func(eventKind) bool { return true }) }

// LedgerKinds lists the kinds of entry that concern positions and their money.
func LedgerKinds() []Kind { return kindsWhere(func(k eventKind) bool { return k.ledger }) }

// PositionKinds lists the kinds of entry that a position is the subject of.
func PositionKinds() []Kind { return kindsWhere(func(k eventKind) bool { return k.kind.OfPosition() }) }

func kindsWhere(wanted func(eventKind) bool) (kinds []Kind) {
	for _, known := range eventKinds {
		if wanted(known) {
			kinds = append(kinds, known.kind)
		}
	}
	return kinds
}

// movesMoney reports whether an entry of the kind can move money.
func (k Kind) movesMoney() bool {
	return slices.ContainsFunc(eventKinds, func(known eventKind) bool { return known.kind == k && known.moves })
}

// asStored is how bodies are read. That a member stands twice is found by Check, as is all that
// encode would write otherwise.
var asStored = jsontext.AllowDuplicateNames(true)

// decodeEvent reads an event of the type E.
func decodeEvent[E event](body []byte) (event, error) {
	var e E
	err := jsonv2.Unmarshal(body, &e, asStored)
	return e, err
}

func parseEvent(kind Kind, body []byte) (event, error) {
	for _, known := range eventKinds {
		if known.kind == kind {
			return known.decode(body)
		}
	}
	return nil, fmt.Errorf("kind %q is not known", kind)
}

// event is what an entry says happened; applied to the books, it is the new state.
type event interface {
	kind() Kind
	subject() string
	apply(*Books, Entry) error
	// resource returns the subject as the books have it after the event's entry.
	resource(*Books, Entry) Resource
}

// Resource is what a command was about, as it is afterwards: an Institution,
// APIKey, IdentityProvider, User, Role, Policy, AssetTemplate, Asset, Position or Erasure, or the
// BatchResults of several positions. A position comes with the event that the command has added, and no other.
type Resource any

// unchanged stands for a command that asked for what is so already: it is
// accepted and appends nothing.
type unchanged struct {
	name  string
	state Resource
}

func (unchanged) kind() Kind                        { return "" }
func (u unchanged) subject() string                 { return u.name }
func (unchanged) apply(*Books, Entry) error         { return nil }
func (u unchanged) resource(*Books, Entry) Resource { return u.state }

// Head is where an institution's journal ends.
type Head struct {
	Sequence int64     // of the last entry; 0 before the first
	At       time.Time // of the last entry
	// Lost is the sequence of an entry that was acknowledged and is no longer there. It is 0
	// where none is known, or the operator has accepted that.
	Lost int64
	// Closed is the sequence of the entry that closed the institution; 0 while it is open.
	Closed int64
	// Rules is the sequence of the entry that set the approval rules in force; 0 where there are none.
	Rules int64
	// Approvals counts the approvals that are pending.
	Approvals int64
}

// Entry is one line of an institution's journal: one accepted command. Body is
// the whole of it in the exact bytes that are stored and hashed, but for the private values;
// the other fields are read out of it.
type Entry struct {
	InstitutionID InstitutionID
	// Sequence counts an institution's entries: 1, 2, 3 …, in the order of
	// commit, without a gap.
	Sequence int64
	ID       EntryID
	// At is at least a microsecond later than that of the entry before it.
	At        time.Time
	Actor     Actor
	RequestID string
	Kind      Kind
	// Subject names the resource: a TypeID, PolicySubject for a policy, RoleSubject for a role, or
	// ProviderSubject.
	Subject string
	// Approval is the one with which the command was carried out; nil where it took none.
	Approval *EntryApproval
	Body     []byte
	// Private is the secret and the private values, as they are stored beside the body; nil where
	// there are none, where they were erased, and where the entry was read from elsewhere.
	Private  []byte
	event    event
	openings Openings // of an entry that was read with them
}

// bodyVersion is the first member of every body. A change of the encoding makes
// a new version; bodies that are stored keep theirs.
const bodyVersion = 2

// entryBody is an entry's body. Its members stand in this order, without white
// space, as encoding/json writes them with HTML escaping off; see Entry.encode.
type entryBody[E any] struct {
	Version       int           `json:"v"`
	InstitutionID InstitutionID `json:"institutionId"`
	Sequence      int64         `json:"sequence"`
	ID            EntryID       `json:"id"`
	At            string        `json:"at"`
	Actor         Actor         `json:"actor"`
	RequestID     string        `json:"requestId"`
	Kind          Kind          `json:"kind"`
	Subject       string        `json:"subject"`
	// Approval is there where the command took one.
	Approval *EntryApproval `json:"approval,omitempty"`
	Event    E              `json:"event"`
}

// ParseEntry reads an entry from its body and the private values that are stored beside it, or
// nil. Whether the values fit the body is for CheckPrivate.
func ParseEntry(body, stored []byte) (Entry, error) {
	entry, err := parseBody(body)
	if err != nil {
		return Entry{}, err
	}
	if entry.event, err = unseal(entry.event, stored); err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", entry.Sequence, err)
	}
	entry.Private = stored
	return entry, nil
}

// ParseOpened reads an entry from its body and the openings that came with it. Whether they fit
// the body is for CheckPrivate.
func ParseOpened(body []byte, openings Openings) (Entry, error) {
	entry, err := parseBody(body)
	if err != nil {
		return Entry{}, err
	}
	if entry.event, err = withOpenings(entry.event, openings); err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", entry.Sequence, err)
	}
	entry.openings = openings
	return entry, nil
}

// parseBody reads an entry without its private values.
func parseBody(body []byte) (Entry, error) {
	var header entryBody[jsontext.Value]
	if err := jsonv2.Unmarshal(body, &header, asStored); err != nil {
		return Entry{}, fmt.Errorf("entry body: %w", err)
	}
	if header.Version != bodyVersion {
		return Entry{}, fmt.Errorf("entry body: version %d is not known", header.Version)
	}
	at, err := ParseTime(header.At)
	if err != nil {
		return Entry{}, fmt.Errorf("entry body: at %w", err)
	}

	entry := Entry{
		InstitutionID: header.InstitutionID,
		Sequence:      header.Sequence,
		ID:            header.ID,
		At:            at,
		Actor:         header.Actor,
		RequestID:     header.RequestID,
		Kind:          header.Kind,
		Subject:       header.Subject,
		Approval:      header.Approval,
		Body:          body,
	}
	if entry.event, err = parseEvent(header.Kind, header.Event); err != nil {
		return Entry{}, fmt.Errorf("entry body: event: %w", err)
	}
	return entry, nil
}

// Check returns an error where an entry that was read contradicts itself: its event
// concerns another subject than it says, or tells of no state that there can be, or its body is
// not the one that its parts are written as, so that two readers could take it for different
// things.
func (e Entry) Check() error {
	if subject := e.event.subject(); subject != e.Subject {
		return fmt.Errorf("its event concerns %s, not %s", subject, e.Subject)
	}

	body, err := e.encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(body, e.Body) {
		return fmt.Errorf("its body is not written as %s", body)
	}

	// A position and an approval are made by all of their entries together, anything else by each alone.
	if e.Kind.OfPosition() || e.Kind.OfApproval() {
		return nil
	}
	_, err = booksAfter([]Entry{e})
	return err
}

// redacting is an event that keeps something from the readers of the audit trail.
type redacting interface{ redacted() event }

// Details returns what happened as JSON for a reader of the audit trail: the body's event
// with its private values, as far as they are known, and without the hash of a key.
func (e Entry) Details() ([]byte, error) {
	event := e.opened()
	if secretive, ok := event.(redacting); ok {
		event = secretive.redacted()
	}
	return marshal(event)
}

// OfPosition reports whether entries of the kind concern a position.
func (k Kind) OfPosition() bool {
	return slices.ContainsFunc(positionEventKinds, func(known eventKind) bool { return known.kind == k })
}

// OfApproval reports whether entries of the kind concern an approval.
func (k Kind) OfApproval() bool {
	return slices.ContainsFunc(approvalEventKinds, func(known eventKind) bool { return known.kind == k })
}

// positionStep is an event of a position's history.
type positionStep interface {
	event
	// step returns the event as the position's history has it.
	step(Entry) (PositionEvent, error)
}

// PositionEvent returns the event of a position that the entry records, and
// the position; ok is false for an entry of another kind.
func (e Entry) PositionEvent() (position PositionID, step PositionEvent, ok bool) {
	recorded, ok := e.event.(positionStep)
	if !ok {
		return PositionID{}, PositionEvent{}, false
	}

	step, err := recorded.step(e)
	if err != nil {
		return PositionID{}, PositionEvent{}, false
	}
	position, err = ParseID[positionKind](recorded.subject())
	return position, step, err == nil
}
