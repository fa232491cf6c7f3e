package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// comparePrivate compares the private values beside an entry with the commitments in its body.
// Those of positions can be missing, which compareErasures looks at, and those of approvals, which
// compareApprovals does; of any other entry nobody erases them.
func (v *verification) comparePrivate(of escrow.InstitutionID, entry escrow.Entry) {
	if err := entry.CheckPrivate(); err != nil {
		v.differAt(of, entry.Sequence, "private values beside it of which "+err.Error(),
			"those that the entry was made with")
	}
	if missing := v.missing(entry); len(missing) > 0 && !entry.Kind.OfPosition() && !entry.Kind.OfApproval() {
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
	return slices.DeleteFunc(entry.Unknown(), func(member string) bool {
		return escrow.NamesMember(v.redacted, member)
	})
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

// comparePrivateOfApprovals compares what is beside the entries of approvals in a bundle with what was erased: all
// that came before the last erasure of the approval, of a position that it is about, or that was created with it.
// An erasure of an approval itself must be one that can follow those before it.
func (v *verification) comparePrivateOfApprovals(ctx context.Context, b *bundle.Bundle) error {
	for stored, err := range v.entriesUpTo(ctx, b.Institution, b.Last) {
		if err != nil {
			return err
		}
		if stored.Kind != escrow.KindApprovalRequested && stored.Kind != escrow.KindApprovalDataErased {
			continue
		}
		history, err := historyOf(ctx, b, stored.Subject)
		if err != nil {
			return err
		}
		if stored.Kind == escrow.KindApprovalDataErased {
			v.compareErasing(b.Institution, stored, history)
			continue
		}
		made, err := escrow.ResourceOf(history)
		approval, ok := made.(escrow.Approval)
		if err != nil || !ok {
			continue // It was found where the journal was followed.
		}

		erasedBy, err := erasedInBundle(ctx, b, approval)
		if err != nil {
			return err
		}
		v.compareErasuresOfApproval(b.Institution, history, erasedBy, erasedBy)
	}
	return nil
}

// compareErasing checks that an entry which erases an approval is one that can follow those before it: the approval
// has come to its end, with as many entries as the erasure says.
func (v *verification) compareErasing(of escrow.InstitutionID, erasing store.StoredEntry, history []escrow.Entry) {
	if _, err := escrow.ResourceOf(history[:countUpTo(history, erasing.Sequence)]); err != nil {
		v.differAt(of, erasing.Sequence, "an entry that cannot be applied ("+excerpt(err.Error())+")",
			"one that can follow those before it on "+erasing.Subject)
	}
}

// compareErasuresOfApproval compares what is beside an approval's entries with what was erased: nothing before one
// entry, and all from another on, which is a later one where something was erased while the history was read.
func (v *verification) compareErasuresOfApproval(
	of escrow.InstitutionID, history []escrow.Entry, erasedBy, erasedNow int64,
) {
	erased := int64(0)
	for _, entry := range history {
		missing := v.missing(entry)
		switch {
		case entry.Sequence >= erasedNow && len(missing) > 0:
			v.differMissing(of, entry.Sequence, missing)
		case entry.Sequence < erasedBy && entry.HasPrivate():
			v.differAt(of, entry.Sequence, "private values beside it",
				fmt.Sprintf("none, as entry %d has erased them", erasedBy))
		case entry.Sequence < erasedBy && len(entry.Unknown()) > 0:
			erased++
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Erased += erased
}

// historyOf returns the entries on some subjects that can be read.
func historyOf(ctx context.Context, b *bundle.Bundle, subjects ...string) (history []escrow.Entry, err error) {
	for some := range slices.Chunk(subjects, store.MaxHistories) {
		stored, err := b.Histories(ctx, b.Institution, some)
		if err != nil {
			return nil, err
		}
		for _, one := range stored {
			if entry, err := one.Entry(); err == nil {
				history = append(history, entry)
			}
		}
	}
	return history, nil
}

// erasedInBundle returns the sequence of the last entry that has erased an approval, or a position which it has to do
// with; 0 where there is none.
func erasedInBundle(ctx context.Context, b *bundle.Bundle, a escrow.Approval) (last int64, err error) {
	subjects := []string{a.ID.String()}
	if asked, err := a.Asked(); err == nil {
		for _, s := range asked.Subjects {
			if s.Subject != "" {
				subjects = append(subjects, s.Subject)
			}
		}
	}
	if a.Executed > 0 && a.Entries > 0 {
		last := a.Executed + min(a.Entries, escrow.MaxBatchItems) - 1
		carried, err := b.StoredEntries(ctx, b.Institution, a.Executed, last)
		if err != nil {
			return 0, err
		}
		for _, entry := range carried {
			if entry.Kind == escrow.KindPositionCreated {
				subjects = append(subjects, entry.Subject)
			}
		}
	}

	history, err := historyOf(ctx, b, subjects...)
	for _, entry := range history {
		if entry.Erases() {
			last = max(last, entry.Sequence)
		}
	}
	return last, err
}
