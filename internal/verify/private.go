package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// comparePrivate compares the private values beside an entry with the commitments in its body.
// Those of positions can be missing, which compareErasures looks at; of any other entry nobody
// erases them.
func (v *verification) comparePrivate(of escrow.InstitutionID, entry escrow.Entry) {
	if err := entry.CheckPrivate(); err != nil {
		v.differAt(of, entry.Sequence, "private values beside it of which "+err.Error(),
			"those that the entry was made with")
	}
	if missing := v.missing(entry); len(missing) > 0 && !entry.Kind.OfPosition() {
		v.differMissing(of, entry.Sequence, missing)
	}
	if len(v.redacted) > 0 && len(entry.Unknown()) > 0 {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Redacted++
	}
}

// missing lists the private members of an entry whose values are not there and were not left out.
func (v *verification) missing(entry escrow.Entry) []string {
	return slices.DeleteFunc(entry.Unknown(), func(member string) bool { return slices.Contains(v.redacted, member) })
}

func (v *verification) differMissing(of escrow.InstitutionID, sequence int64, members []string) {
	v.differAt(of, sequence, "no value of "+strings.Join(members, ", ")+" beside it",
		"the value, as no entry says that it was erased")
}

// compareErasures compares what is beside the entries on one subject with what they say was erased:
// all that came before the last erasure, and nothing after it.
func (v *verification) compareErasures(of escrow.InstitutionID, history []escrow.Entry) {
	erasedBy := len(history) - 1
	for erasedBy >= 0 && !history[erasedBy].Erases() {
		erasedBy--
	}

	erased := int64(0)
	for i, entry := range history {
		switch {
		case !entry.Kind.OfPosition():
		case i < erasedBy && entry.HasPrivate():
			v.differAt(of, entry.Sequence, "private values beside it",
				fmt.Sprintf("none, as entry %d has erased them", history[erasedBy].Sequence))
		case i < erasedBy && len(entry.Unknown()) > 0:
			erased++
		case i >= erasedBy:
			if missing := v.missing(entry); len(missing) > 0 {
				v.differMissing(of, entry.Sequence, missing)
			}
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Erased += erased
}
