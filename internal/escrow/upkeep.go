package escrow

import (
	"slices"
	"time"
)

// Upkeep is what an institution, an asset template and an asset have in common: each can be
// changed and closed, and its version counts both.
type Upkeep struct {
	Version   int64 // 1 when created, one more with each change
	CreatedAt time.Time
	ClosedAt  *time.Time // nil while it is open
}

// createdAt is the upkeep of what was just made.
func createdAt(at time.Time) Upkeep { return Upkeep{Version: 1, CreatedAt: at} }

// upkeepState is an Upkeep as entries carry it.
type upkeepState struct {
	Version   int64   `json:"version"`
	CreatedAt string  `json:"createdAt"`
	ClosedAt  *string `json:"closedAt,omitempty"`
}

func (u Upkeep) state() upkeepState {
	return upkeepState{
		Version:   u.Version,
		CreatedAt: FormatTime(u.CreatedAt),
		ClosedAt:  formatOptionalTime(u.ClosedAt),
	}
}

func (s upkeepState) upkeep() (Upkeep, error) {
	var reader storedReader
	return Upkeep{
		Version:   s.Version,
		CreatedAt: reader.time(s.CreatedAt),
		ClosedAt:  reader.optionalTime(s.ClosedAt),
	}, reader.err
}

// checkVersion refuses a command on what has none of the versions that its client names; nil
// names all.
func checkVersion(ifVersion []int64, version int64, what string) *Error {
	if ifVersion == nil || slices.Contains(ifVersion, version) {
		return nil
	}
	return Errorf(CodeVersionMismatch, "The version of the %s is %d, which the request does not name.", what, version)
}

// changed returns the text that takes another's place; nil leaves it.
func changed(before string, to *string) string {
	if to == nil {
		return before
	}
	return *to
}

// checkOpen refuses a command of an institution that was closed. What is left to do there is
// to end what has begun.
func (b *Books) checkOpen(command Command) *Error {
	if b.Head.Closed == 0 {
		return nil
	}

	switch c := command.(type) {
	case AcceptHistory, CloseInstitution, RevokeKey, SuspendUser, RemoveIdentityProvider, ErasePosition, RecordErasure,
		PlaceHold, LiftHold, ApproveApproval, RejectApproval, WithdrawApproval, ExpireApproval, EraseApproval:
		return nil
	case PositionBatch:
		if c.erasesOnly() {
			return nil
		}
	case TransitionPosition:
		if c.to.Final() {
			return nil
		}
	}
	return Errorf(CodeInstitutionClosed, "The institution was closed with entry %d of its journal.", b.Head.Closed)
}
