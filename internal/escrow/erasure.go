package escrow

import (
	"fmt"
	"slices"
	"time"
)

// ErasePosition erases what is private of a position: its references, reasons and metadata, in
// its row and in all of its entries. Amounts, states and times stay, and so does the proof of
// every entry. To erase what is erased takes the reason of that away, and after that changes nothing:
// a position has two erasures at most.
type ErasePosition struct {
	position  PositionID
	reason    string
	ifVersion []int64
	retention time.Duration
}

// NewErasePosition checks the input. The reason may be nil; it is private, too. The retention
// is how long a position is kept after its last change. The versions are those that the
// position may have; nil is any.
func NewErasePosition(
	position PositionID, reason *string, ifVersion []int64, retention time.Duration,
) (ErasePosition, Faults) {
	var faults Faults
	command := ErasePosition{
		position:  position,
		reason:    faults.optionalText("reason", reason, MaxReasonLength),
		ifVersion: ifVersion,
		retention: retention,
	}
	return command, faults
}

// NewErasureBatch makes a batch that erases what is private of 1 to MaxBatchItems positions, of
// each that allows it.
func NewErasureBatch(positions []PositionID, retention time.Duration) PositionBatch {
	batch := PositionBatch{items: make([]batchItem, len(positions))}
	for i, position := range positions {
		batch.items[i].command = ErasePosition{position: position, retention: retention}
	}
	return batch
}

// erasesOnly reports whether all commands of a batch erase.
func (c PositionBatch) erasesOnly() bool {
	return !slices.ContainsFunc(c.items, func(item batchItem) bool {
		_, erases := item.command.(ErasePosition)
		return !erases
	})
}

// Needs implements Command.
func (c ErasePosition) Needs() Needs { return Needs{Positions: []PositionID{c.position}} }

// permission implements single.
func (ErasePosition) permission() Permission { return PermissionPositionsErase }

// The refusals come in this order: the position, its version, its state, legal holds, its retention.
func (c ErasePosition) decide(b *Books, _ Request, s stamp) (event, *Error) {
	p, ok := b.Positions.Get(c.position)
	if !ok {
		return nil, Errorf(CodePositionNotFound, "There is no position %s.", c.position)
	}
	if refusal := checkVersion(c.ifVersion, p.Version, "position"); refusal != nil {
		return nil, refusal
	}

	switch until := p.ErasableFrom(c.retention); {
	case !p.State.Final():
		return nil, Errorf(CodePositionOpen,
			"The position is %s. What is private of it can be erased once it is %s.", p.State, describeEnds(p.State))
	case len(b.legalHoldsOn(p)) > 0:
		return nil, Errorf(CodeUnderLegalHold, "The position is under a legal hold, which keeps its data: %s.",
			join(b.legalHoldsOn(p)))
	case !p.Erased() && s.at.Before(until):
		return nil, Errorf(CodeRetentionPeriod,
			"The position was last changed at %s, and is kept until %s.", FormatTime(p.UpdatedAt), FormatTime(until))
	case p.Erased() && p.HistoryBytes == 0:
		return unchanged{name: c.position.String(), state: p}, nil
	}

	e := positionDataErased{ID: c.position, Entries: p.Version}
	if !p.Erased() {
		e.Reason = textMember(c.reason)
	}
	return e, nil
}

// ErasableFrom returns when a position that is final can be erased, where positions are kept
// for a time after their last change.
func (p Position) ErasableFrom(retention time.Duration) time.Time { return p.UpdatedAt.Add(retention) }

// KindPositionDataErased is the kind of an entry with which what was private of a position was
// erased.
const KindPositionDataErased Kind = "POSITION_DATA_ERASED"

// positionDataErased says that the private values of the position's entries before it were
// erased. The reason is not among them.
type positionDataErased struct {
	ID PositionID `json:"id"`
	// Entries is how many entries the position had.
	Entries int64       `json:"entries"`
	Reason  privateText `json:"reason,omitzero"`
}

// withPrivate implements personal.
func (e positionDataErased) withPrivate(each func(name string, member *private)) event {
	each("reason", &e.Reason.private)
	return e
}

func (e positionDataErased) kind() Kind      { return KindPositionDataErased }
func (e positionDataErased) subject() string { return e.ID.String() }
func (e positionDataErased) rewrites() Needs { return Needs{Positions: []PositionID{e.ID}} }

func (e positionDataErased) resource(b *Books, entry Entry) Resource {
	return positionAfter(b, e.ID, entry)
}

func (e positionDataErased) apply(b *Books, entry Entry) error {
	p, ok := b.Positions.Get(e.ID)
	if !ok || !p.State.Final() || p.Version != e.Entries {
		return fmt.Errorf("position %s has not come to an end with %d entries", e.ID, e.Entries)
	}
	if legal := b.legalHoldsOn(p); len(legal) > 0 {
		return fmt.Errorf("position %s is under the legal hold %s", e.ID, legal[0])
	}

	p.HolderReference, p.ExternalReference, p.Metadata = "", "", nil
	p.HistoryBytes = historyBytes(e.Reason.value, "")
	p.Version++
	p.UpdatedAt = entry.At
	b.Positions.Put(e.ID, p)
	return nil
}

// Erases reports whether the private values of the earlier entries on the entry's subject were
// erased with it.
func (e Entry) Erases() bool {
	return e.Kind == KindPositionDataErased || e.Kind == KindApprovalDataErased
}

// Erasure is what became of the positions of one holder whose data were to be erased, and of the approvals that
// asked for positions of the holder which were never made. It does not say whose.
type Erasure struct {
	ID            ErasureID
	InstitutionID InstitutionID
	// Erased counts the positions whose data were erased; Open those that were kept because
	// they are not final, and Retained those that are kept for a time.
	Erased, Open, Retained int64
	// OnHold counts the positions that were kept because they are under a legal hold.
	OnHold int64
	// ApprovalsErased counts the approvals whose data were erased; ApprovalsPending those that were kept
	// because they wait, and ApprovalsRetained those that are kept for a time.
	ApprovalsErased, ApprovalsPending, ApprovalsRetained int64
	// RetainedUntil is when the last of all those retained can be erased.
	RetainedUntil *time.Time
	// Complete says that all positions and approvals of the holder were looked at. Where not, another erasure
	// goes on.
	Complete  bool
	CreatedAt time.Time
}

// Retain counts a position that is kept until a time.
func (e *Erasure) Retain(until time.Time) {
	e.Retained++
	e.retainUntil(until)
}

// RetainApproval counts an approval that is kept until a time.
func (e *Erasure) RetainApproval(until time.Time) {
	e.ApprovalsRetained++
	e.retainUntil(until)
}

func (e *Erasure) retainUntil(until time.Time) {
	if e.RetainedUntil == nil || until.After(*e.RetainedUntil) {
		e.RetainedUntil = &until
	}
}

// ReadHolderReference checks a holder's reference that is looked for.
func ReadHolderReference(reference string) (string, Faults) {
	var faults Faults
	reference = faults.text("holderReference", reference)
	return reference, faults
}

// RecordErasure keeps what became of a holder's positions and approvals.
type RecordErasure struct{ Erasure Erasure }

// Needs implements Command.
func (RecordErasure) Needs() Needs { return Needs{} }

// permission implements single.
func (RecordErasure) permission() Permission { return PermissionPositionsErase }

func (c RecordErasure) decide(_ *Books, _ Request, s stamp) (event, *Error) { //nolint:unparam // As all commands.
	e := c.Erasure
	return holderDataErased{
		ID:                ErasureID(s.id),
		Erased:            e.Erased,
		Open:              e.Open,
		Retained:          e.Retained,
		OnHold:            e.OnHold,
		ApprovalsErased:   e.ApprovalsErased,
		ApprovalsPending:  e.ApprovalsPending,
		ApprovalsRetained: e.ApprovalsRetained,
		RetainedUntil:     formatOptionalTime(e.RetainedUntil),
		Complete:          e.Complete,
	}, nil
}

// KindHolderDataErased is the kind of an entry that tells what became of a holder's positions and approvals.
const KindHolderDataErased Kind = "HOLDER_DATA_ERASED"

var erasureEventKinds = []eventKind{
	{kind: KindHolderDataErased, decode: decodeEvent[holderDataErased]},
}

// holderDataErased leaves out counts that are 0 of what entries did not tell of from the first.
type holderDataErased struct {
	ID                ErasureID `json:"id"`
	Erased            int64     `json:"erased"`
	Open              int64     `json:"open"`
	Retained          int64     `json:"retained"`
	OnHold            int64     `json:"onHold,omitzero"`
	ApprovalsErased   int64     `json:"approvalsErased,omitzero"`
	ApprovalsPending  int64     `json:"approvalsPending,omitzero"`
	ApprovalsRetained int64     `json:"approvalsRetained,omitzero"`
	RetainedUntil     *string   `json:"retainedUntil,omitempty"`
	Complete          bool      `json:"complete"`
}

func (holderDataErased) kind() Kind        { return KindHolderDataErased }
func (e holderDataErased) subject() string { return e.ID.String() }

func (e holderDataErased) resource(b *Books, _ Entry) Resource { return b.Erasures.mustGet(e.ID) }

func (e holderDataErased) apply(b *Books, entry Entry) error {
	var reader storedReader

	b.Erasures.Put(e.ID, Erasure{
		ID:                e.ID,
		InstitutionID:     entry.InstitutionID,
		Erased:            e.Erased,
		Open:              e.Open,
		Retained:          e.Retained,
		OnHold:            e.OnHold,
		ApprovalsErased:   e.ApprovalsErased,
		ApprovalsPending:  e.ApprovalsPending,
		ApprovalsRetained: e.ApprovalsRetained,
		RetainedUntil:     reader.optionalTime(e.RetainedUntil),
		Complete:          e.Complete,
		CreatedAt:         entry.At,
	})
	return reader.err
}
