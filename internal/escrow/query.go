package escrow

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Bounds of a page of a list.
const (
	MaxPageSize     = 1000
	DefaultPageSize = 100
	// MaxPageWithEvents bounds a page of positions with their events.
	MaxPageWithEvents = 100
	// MaxPageBytes is where a page ends whatever the items that it may have, as one can have
	// 64 KiB of metadata: a page of 1000 would take the memory of ten thousand usual answers.
	MaxPageBytes = 4 << 20
	// MaxCount is up to where the items of a list are counted.
	MaxCount = 10_000
	// MaxFilterValues bounds the values that one filter can have.
	MaxFilterValues = 30
)

// PageRequest asks for a part of a list that is ordered by creation.
type PageRequest struct {
	// Limit is 1 to MaxPageSize.
	Limit int
	// After is the place of the last item that was seen; nil for the start.
	After *Cursor
	// Descending asks for the newest first.
	Descending bool
	// Count asks how many items there are on all pages.
	Count bool
}

// Cursor is an item's place in a list: its id, or its sequence in a journal.
type Cursor [16]byte

// IDCursor returns the place of an id in a list by id.
func IDCursor[K IDKind](id ID[K]) Cursor { return Cursor(id) }

// SequenceCursor returns the place of an entry in its journal.
func SequenceCursor(sequence int64) (c Cursor) {
	binary.BigEndian.PutUint64(c[8:], uint64(sequence))
	return c
}

// StepCursor returns the place of a position in a list by last steps, from the time of its last: no
// two entries of a journal have the same.
func StepCursor(at time.Time) Cursor { return SequenceCursor(at.UnixMicro()) }

// Sequence returns the sequence that SequenceCursor was given.
func (c Cursor) Sequence() int64 { return int64(binary.BigEndian.Uint64(c[8:])) }

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	// More says whether the list goes on.
	More bool
	// Next is where it goes on, where that is not behind the last of Items: after what was looked at
	// and is not in the list. It is nil elsewhere.
	Next *Cursor
	// Count is how many items all pages have, where that was asked for, and one more than MaxCount
	// where they have more than that. AtLeast says that not all was looked at, and there can be more.
	Count   *int
	AtLeast bool
}

// Period restricts a list to what was created from From on and before To. Nil
// does not restrict.
type Period struct{ From, To *time.Time }

// KeyFilter chooses API keys.
type KeyFilter struct {
	Period
	IncludeRevoked bool
}

// TemplateFilter chooses asset templates.
type TemplateFilter struct {
	Period
	// Within leaves out what it hides.
	Within Restriction
}

// AssetFilter chooses assets.
type AssetFilter struct {
	Period
	Template *TemplateID
	// Within leaves out what it hides.
	Within Restriction
}

// PositionFilter chooses positions; an empty field does not restrict.
type PositionFilter struct {
	Period
	Asset             *AssetID
	HolderReference   string
	ExternalReference string
	// States and Currencies are alternatives, each once.
	States     []State
	Currencies []money.Code
	// Updated restricts the list to positions whose last step was in it, and orders it by that
	// step.
	Updated Period
	// Within leaves out what it hides.
	Within Restriction
	// WithEvents asks for each position's history too.
	WithEvents bool
}

// Matches reports whether the filter chooses a position, whatever its Updated, and whatever the
// templates that it is Within.
func (f PositionFilter) Matches(p Position) bool {
	return (f.Asset == nil || *f.Asset == p.AssetID) &&
		(f.HolderReference == "" || f.HolderReference == p.HolderReference) &&
		(f.ExternalReference == "" || f.ExternalReference == p.ExternalReference) &&
		(len(f.States) == 0 || slices.Contains(f.States, p.State)) &&
		(len(f.Currencies) == 0 || slices.Contains(f.Currencies, p.Currency.Code)) &&
		(len(f.Within.AssetIDs) == 0 || slices.Contains(f.Within.AssetIDs, p.AssetID)) &&
		f.Within.SeesHolder(p.HolderReference) &&
		f.Has(p.CreatedAt)
}

// Has reports whether a time is in the period.
func (p Period) Has(at time.Time) bool {
	return (p.From == nil || !at.Before(*p.From)) && (p.To == nil || at.Before(*p.To))
}

// EntryFilter chooses entries of a journal; an empty field does not restrict.
type EntryFilter struct {
	Period
	// LedgerOnly leaves out what is not of LedgerKinds.
	LedgerOnly bool
	// Kinds are alternatives, each once.
	Kinds   []Kind
	Actor   *Actor
	Subject string
	// UpTo is the highest sequence that counts; 0 for all.
	UpTo int64
}

// DuePosition names an open position that is past its expiresAt.
type DuePosition struct {
	InstitutionID InstitutionID
	PositionID    PositionID
}

// HoldStatus says whether a hold is in force.
type HoldStatus string

// The statuses of a hold.
const (
	HoldInForce HoldStatus = "IN_FORCE"
	HoldLifted  HoldStatus = "LIFTED"
)

// HoldStatuses lists the statuses of a hold.
func HoldStatuses() []HoldStatus { return []HoldStatus{HoldInForce, HoldLifted} }

// HoldFilter chooses holds; an empty field does not restrict.
type HoldFilter struct {
	Period
	Position *PositionID
	// Kinds are alternatives, each once.
	Kinds  []HoldKind
	Status HoldStatus
	// ReviewBefore asks for those that are to be reviewed before a time.
	ReviewBefore *time.Time
}

// ApprovalFilter chooses approvals; an empty field does not restrict.
type ApprovalFilter struct {
	Period
	// Statuses are alternatives, each once.
	Statuses []ApprovalStatus
	// Subject is one of those that an approval is about, named as in the journal. What is only made when
	// the command is carried out is none.
	Subject string
	// HolderReference asks for those that ask to create a position of the holder, and have created nothing.
	HolderReference string
}

// DueApproval names a pending approval that is past its expiresAt.
type DueApproval struct {
	InstitutionID InstitutionID
	ApprovalID    ApprovalID
}
