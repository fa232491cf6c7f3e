package escrow

import "encoding/base64"

// A journal can lose entries that were acknowledged: its database fails over to a standby
// that had not received them, or is restored from a backup. Whoever knows of such an entry
// halts the institution, which then takes no command until the operator has accepted that
// the entries are gone.

// AcceptHistory opens an institution that was halted because its journal has lost entries.
type AcceptHistory struct {
	// Checkpoint is nil where none is known.
	Checkpoint *KnownCheckpoint
}

// KnownCheckpoint is the last checkpoint that is known to have been signed of a journal
// before it lost entries. Its root is that of the Merkle tree over the first Size entries.
type KnownCheckpoint struct {
	Size int64
	Root [32]byte
}

// Needs implements Command.
func (AcceptHistory) Needs() Needs { return Needs{Institution: true} }

// permission implements single.
func (AcceptHistory) permission() Permission { return PermissionInstitutionsUpdate }

func (c AcceptHistory) decide(b *Books, _ Request, _ stamp) (event, *Error) { //nolint:unparam // As all commands.
	if b.Head.Lost == 0 {
		return unchanged{name: b.institutionID.String(), state: b.institution()}, nil
	}

	e := historyAccepted{ID: b.institutionID, LostSequence: b.Head.Lost}
	if c.Checkpoint != nil {
		e.Checkpoint = &checkpointState{
			Size: c.Checkpoint.Size,
			Root: base64.StdEncoding.EncodeToString(c.Checkpoint.Root[:]),
		}
	}
	return e, nil
}

// KindHistoryAccepted is the kind of an entry that records that entries were lost.
const KindHistoryAccepted Kind = "HISTORY_ACCEPTED"

// historyAccepted tells which entries there were: those from its own sequence on, up to
// LostSequence at least.
type historyAccepted struct {
	ID           InstitutionID    `json:"id"`
	LostSequence int64            `json:"lostSequence"`
	Checkpoint   *checkpointState `json:"checkpoint,omitempty"`
}

// checkpointState is a KnownCheckpoint; root is in base64.
type checkpointState struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
}

func (historyAccepted) kind() Kind        { return KindHistoryAccepted }
func (e historyAccepted) subject() string { return e.ID.String() }

func (historyAccepted) resource(b *Books, _ Entry) Resource { return b.institution() }

func (historyAccepted) apply(b *Books, _ Entry) error {
	b.Head.Lost = 0
	return nil
}

// checkHistory refuses a command on books that have lost entries, unless it accepts that.
func (b *Books) checkHistory(command Command) *Error {
	if _, accepts := command.(AcceptHistory); accepts || b.Head.Lost == 0 {
		return nil
	}
	return Errorf(CodeHistoryLost,
		"The journal ends at entry %d, and entry %d is known to have been acknowledged. The institution is halted "+
			"until the operator has accepted the loss.", b.Head.Sequence, b.Head.Lost)
}

// AcceptedLoss returns the greatest sequence whose loss an entry accepts; ok is false for
// an entry of another kind.
func (e Entry) AcceptedLoss() (sequence int64, ok bool) {
	accepted, ok := e.event.(historyAccepted)
	return accepted.LostSequence, ok
}
