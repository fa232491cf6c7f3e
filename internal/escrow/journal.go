package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Kind says what an entry of a journal records.
type Kind string

// The kinds of entry.
const (
	KindInstitutionCreated   Kind = "INSTITUTION_CREATED"
	KindKeyCreated           Kind = "API_KEY_CREATED"
	KindKeyRotated           Kind = "API_KEY_ROTATED"
	KindKeyRevoked           Kind = "API_KEY_REVOKED"
	KindPolicySet            Kind = "POLICY_SET"
	KindTemplateCreated      Kind = "ASSET_TEMPLATE_CREATED"
	KindAssetCreated         Kind = "ASSET_CREATED"
	KindPositionCreated      Kind = "POSITION_CREATED"
	KindPositionStateChanged Kind = "POSITION_STATE_CHANGED"
)

// Kinds lists the kinds of entry.
func Kinds() []Kind {
	return []Kind{
		KindInstitutionCreated, KindKeyCreated, KindKeyRotated, KindKeyRevoked, KindPolicySet,
		KindTemplateCreated, KindAssetCreated, KindPositionCreated, KindPositionStateChanged,
	}
}

// LedgerKinds lists the kinds of entry that concern positions and their money.
func LedgerKinds() []Kind { return []Kind{KindPositionCreated, KindPositionStateChanged} }

// Entry is one line of an institution's journal: one accepted command. Body is
// the whole of it in the exact bytes that are stored and hashed; the other
// fields are read out of it.
type Entry struct {
	InstitutionID InstitutionID
	// Sequence counts an institution's entries: 1, 2, 3 …, in the order of
	// commit, without a gap.
	Sequence int64
	ID       EntryID
	// At is later than that of the entry before it, by a microsecond at least.
	At        time.Time
	Actor     Actor
	RequestID string
	Kind      Kind
	// Subject names the resource: a TypeID, or PolicySubject for a policy.
	Subject string
	Body    []byte
	event   event
}

// Head is the end of an institution's journal.
type Head struct {
	Sequence int64     // of the last entry; 0 before the first
	At       time.Time // of the last entry
}

// event is what an entry says happened; applied to the books, it is the new state.
type event interface {
	kind() Kind
	subject() string
	apply(*Books, Entry) error
	// resource returns the subject as the books have it.
	resource(*Books) Resource
}

// Resource is what a command was about, as it is afterwards: an Institution,
// APIKey, Policy, AssetTemplate, Asset or Position, or the BatchResults of several.
type Resource any

// unchanged stands for a command that asked for what is so already: it is
// accepted and appends nothing.
type unchanged struct {
	name  string
	state Resource
}

func (unchanged) kind() Kind                 { return "" }
func (u unchanged) subject() string          { return u.name }
func (unchanged) apply(*Books, Entry) error  { return nil }
func (u unchanged) resource(*Books) Resource { return u.state }

// bodyVersion is the first member of every body. A change of the encoding makes
// a new version; bodies that are stored keep theirs.
const bodyVersion = 1

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
	Event         E             `json:"event"`
}

// ParseEntry reads an entry from its body.
func ParseEntry(body []byte) (Entry, error) {
	var header entryBody[json.RawMessage]
	if err := json.Unmarshal(body, &header); err != nil {
		return Entry{}, fmt.Errorf("entry body: %w", err)
	}
	if header.Version != bodyVersion {
		return Entry{}, fmt.Errorf("entry body: version %s is not known", strconv.Itoa(header.Version))
	}
	at, err := ParseTime(header.At)
	if err != nil {
		return Entry{}, fmt.Errorf("entry body: at %w", err)
	}
	entry := Entry{
		InstitutionID: header.InstitutionID, Sequence: header.Sequence, ID: header.ID, At: at, Actor: header.Actor,
		RequestID: header.RequestID, Kind: header.Kind, Subject: header.Subject, Body: body,
	}
	entry.event, err = parseEvent(header.Kind, header.Event)
	if err != nil {
		return Entry{}, fmt.Errorf("entry body: event: %w", err)
	}
	return entry, nil
}

func parseEvent(kind Kind, body []byte) (event, error) {
	switch kind {
	case KindInstitutionCreated:
		return decodeEvent[institutionCreated](body)
	case KindKeyCreated:
		return decodeEvent[keyCreated](body)
	case KindKeyRotated:
		return decodeEvent[keyRotated](body)
	case KindKeyRevoked:
		return decodeEvent[keyRevoked](body)
	case KindPolicySet:
		return decodeEvent[policySet](body)
	case KindTemplateCreated:
		return decodeEvent[templateCreated](body)
	case KindAssetCreated:
		return decodeEvent[assetCreated](body)
	case KindPositionCreated:
		return decodeEvent[positionCreated](body)
	case KindPositionStateChanged:
		return decodeEvent[positionStateChanged](body)
	}
	return nil, fmt.Errorf("kind %q is not known", kind)
}

func decodeEvent[E event](body []byte) (event, error) {
	var e E
	err := json.Unmarshal(body, &e)
	return e, err
}

// booksAfter returns books with what a subject's entries tell of in them, as it was right
// after the last.
func booksAfter(entries []Entry) (*Books, error) {
	if len(entries) == 0 {
		return nil, errors.New("no entries")
	}
	books := NewBooks(entries[0].InstitutionID, Head{}, true)
	for _, entry := range entries {
		if err := books.append(entry); err != nil {
			return nil, err
		}
	}
	return books, nil
}

// ResourceOf returns the resource that a subject's entries tell of, as it was
// right after the last of them. A position takes all of its entries; of anything
// else the last tells the whole.
func ResourceOf(entries []Entry) (Resource, error) {
	books, err := booksAfter(entries)
	if err != nil {
		return nil, err
	}
	return entries[len(entries)-1].event.resource(books), nil
}

// PositionsAfter returns a position, without its events, as it was right after each
// of its entries from a sequence on. The history is all of its entries, oldest first.
func PositionsAfter(history []Entry, from int64) ([]Position, error) {
	if len(history) == 0 {
		return nil, errors.New("no entries")
	}
	books := NewBooks(history[0].InstitutionID, Head{}, true)
	var positions []Position
	for _, entry := range history {
		if err := books.append(entry); err != nil {
			return nil, err
		}
		if entry.Sequence >= from {
			position, ok := entry.event.resource(books).(Position)
			if !ok {
				return nil, fmt.Errorf("entry %d is of no position", entry.Sequence)
			}
			position.Events = nil
			positions = append(positions, position)
		}
	}
	return positions, nil
}

// Check returns an error where an entry that was read contradicts itself: its event
// concerns another subject than it says, or its body is not the one that its parts are
// written as, so that two readers could take it for different things.
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
	return nil
}

// Details returns what happened as JSON for a reader of the audit trail: the
// body's event, without the hash of a key.
func (e Entry) Details() ([]byte, error) {
	var details any = e.event
	switch event := e.event.(type) {
	case keyCreated:
		details = keyCreated{event.redacted()}
	case keyRevoked:
		details = keyRevoked{event.redacted()}
	case keyRotated:
		event.keyState = event.redacted()
		details = event
	}
	return json.Marshal(details)
}

// PositionEvent returns the step of a position's life that the entry records, and
// the position; ok is false for an entry of another kind.
func (e Entry) PositionEvent() (position PositionID, step PositionEvent, ok bool) {
	step = PositionEvent{ID: e.ID, Sequence: e.Sequence, Actor: e.Actor, At: e.At}
	switch event := e.event.(type) {
	case positionCreated:
		amount, err := money.ParseFormatted(event.Amount)
		step.To, step.Currency, step.Amount = StateCreated, event.Currency, amount
		return event.ID, step, err == nil
	case positionStateChanged:
		var reader storedReader
		step.From, step.To, step.Reason, step.Metadata = event.From, event.To, event.Reason, event.Metadata
		step.Currency, step.Amount = event.Currency, reader.optionalAmount(event.Amount)
		return event.ID, step, reader.err == nil
	}
	return PositionID{}, PositionEvent{}, false
}

// Actor is who did something: an API key, the operator, or the system itself.
type Actor struct {
	// Key is the acting key, zero for the operator and the system.
	Key  KeyID
	word string
}

// ActorRoot is the operator, with the root key.
func ActorRoot() Actor { return Actor{word: "root"} }

// ActorSystem is the platform itself, for what it does by the clock.
func ActorSystem() Actor { return Actor{word: "system"} }

// ActorKey is an institution's API key.
func ActorKey(key KeyID) Actor { return Actor{Key: key} }

// ParseActor reads what String writes.
func ParseActor(text string) (Actor, error) {
	if text == "root" || text == "system" {
		return Actor{word: text}, nil
	}
	key, err := ParseID[keyKind](text)
	if err != nil {
		return Actor{}, fmt.Errorf("must be root, system or the id of an API key: %w", err)
	}
	return ActorKey(key), nil
}

// String returns "root", "system", or the key's id.
func (a Actor) String() string {
	if a.word != "" {
		return a.word
	}
	return a.Key.String()
}

// AppendText implements encoding.TextAppender; see String. It never fails.
func (a Actor) AppendText(text []byte) ([]byte, error) {
	if a.word != "" {
		return append(text, a.word...), nil
	}
	return a.Key.AppendText(text)
}

// MarshalText implements encoding.TextMarshaler; see String.
func (a Actor) MarshalText() ([]byte, error) { return a.AppendText(make([]byte, 0, maxIDLength)) }

// UnmarshalText implements encoding.TextUnmarshaler; see ParseActor.
func (a *Actor) UnmarshalText(text []byte) (err error) {
	*a, err = ParseActor(string(text))
	return err
}
