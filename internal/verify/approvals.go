package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// What is of approvals beside their rows: what they are about, which no subject of the journal's names; what was
// moved of late, which is made by entries on many subjects; and their private values, which go by themselves or with
// those of positions.

// compareApprovalsOfHead compares what a journal's head says of rules and approvals.
func (d *database) compareApprovalsOfHead(of escrow.InstitutionID, head escrow.Head, audit *escrow.ApprovalAudit) {
	if head.Rules != audit.Rules() {
		d.differ(of, "journal_heads, column rules_sequence", fmt.Sprint(head.Rules), fmt.Sprint(audit.Rules()))
	}
	if head.Approvals != audit.Pending() {
		d.differ(of, "journal_heads, column pending_approvals", fmt.Sprint(head.Approvals), fmt.Sprint(audit.Pending()))
	}
}

// compareApprovals compares what is beside the rows of an institution's approvals. The journal had the entries up to
// known before.
func (d *database) compareApprovals(ctx context.Context, of escrow.InstitutionID, known int64, chain *chain) error {
	if err := d.compareMoves(ctx, of, known, chain); err != nil {
		return err
	}
	orphans, err := d.store.CountOrphanSubjects(ctx, of)
	if err != nil {
		return err
	}
	if orphans > 0 {
		d.differ(of, "approval_subjects", fmt.Sprintf("%d rows of no approval", orphans), nothing)
	}

	page := escrow.PageRequest{Limit: store.MaxHistories}
	for {
		approvals, err := d.store.Approvals(ctx, of, escrow.ApprovalFilter{}, page)
		if store.IsUnreadable(ctx, err) {
			return nil // It was found where the rows were compared.
		}
		if err != nil {
			return err
		}
		for _, a := range approvals.Items {
			if err := d.compareApproval(ctx, of, known, a, chain.erases); err != nil {
				return err
			}
			page.After = new(escrow.IDCursor(a.ID))
		}
		if !approvals.More {
			return nil
		}
	}
}

func (d *database) compareApproval(
	ctx context.Context, of escrow.InstitutionID, known int64, a escrow.Approval, erases bool,
) error {
	asked, err := a.Asked()
	if err != nil {
		return nil //nolint:nilerr // It was found where the rows were compared.
	}

	rows, err := d.store.SubjectRows(ctx, of, a.ID)
	if store.IsUnreadable(ctx, err) {
		d.differUnreadable(of, "approval_subjects of "+a.ID.String(), err)
		return nil
	}
	if err != nil {
		return err
	}
	var expected []store.Row
	for _, s := range asked.Subjects {
		if s.InstitutionID = of; s.IsKept() {
			expected = append(expected, store.SubjectRow(s))
		}
	}
	d.compareDerived(of, "approval_subjects", rows, expected)
	return d.comparePrivateOfApproval(ctx, of, known, a, asked, erases)
}

// compareDerived compares rows by their names, which they are in the order of.
func (d *database) compareDerived(of escrow.InstitutionID, table string, there, expected []store.Row) {
	byName := func(a, b store.Row) int { return strings.Compare(a.Subject, b.Subject) }
	slices.SortFunc(there, byName)
	slices.SortFunc(expected, byName)

	for len(there)+len(expected) > 0 {
		switch {
		case len(there) == 0 || len(expected) > 0 && byName(expected[0], there[0]) < 0:
			d.differ(of, table+" "+expected[0].Subject, nothing, "a row, as the journal tells of it")
			expected = expected[1:]
		case len(expected) == 0 || byName(there[0], expected[0]) < 0:
			d.differ(of, table+" "+there[0].Subject, "a row", nothing+", as no entry made it")
			there = there[1:]
		default:
			d.compare(of, table+" "+there[0].Subject, there[0].Columns, expected[0].Columns)
			there, expected = there[1:], expected[1:]
		}
	}
}

// compareMoves compares what was moved of late, unless the journal has grown since it was read.
func (d *database) compareMoves(ctx context.Context, of escrow.InstitutionID, known int64, chain *chain) error {
	if chain.audit.Broken() || chain.broken || chain.head.Sequence != known {
		return nil
	}
	rows, err := d.store.MovesRows(ctx, of)
	if store.IsUnreadable(ctx, err) {
		d.differUnreadable(of, "recent_moves", err)
		return nil
	}
	if err != nil {
		return err
	}
	if now, err := d.sequenceNow(ctx, of); err != nil || now != known {
		return err
	}

	var expected []store.Row
	for _, moves := range chain.audit.Moves() {
		expected = append(expected, store.MovesRow(moves))
	}
	d.compareDerived(of, "recent_moves", rows, expected)
	return nil
}

// sequenceNow returns where a journal stands; 0 where that cannot be read, which was found before.
func (d *database) sequenceNow(ctx context.Context, of escrow.InstitutionID) (int64, error) {
	head, _, err := d.store.Head(ctx, of)
	if store.IsUnreadable(ctx, err) {
		return 0, nil
	}
	return head.Sequence, err
}

// comparePrivateOfApproval compares what is beside an approval's entries with what was erased: all that came before
// the last erasure of the approval, of a position that it is about, or that was created with it, and nothing else.
func (d *database) comparePrivateOfApproval(
	ctx context.Context, of escrow.InstitutionID, known int64, a escrow.Approval, asked escrow.AskedApproval,
	erases bool,
) error {
	all := escrow.PageRequest{Limit: escrow.MaxPageSize}
	history, err := d.store.Entries(ctx, of, escrow.EntryFilter{Subject: a.ID.String()}, all)
	if store.IsUnreadable(ctx, err) {
		return nil
	}
	if err != nil {
		return err
	}

	// An erasure since then takes values away that were there, and what it took was not yet.
	var erasedBy, erasedNow int64
	if now, err := d.sequenceNow(ctx, of); err != nil {
		return err
	} else if erases || now != known {
		if erasedBy, err = d.erasedWith(ctx, of, a, asked, known); err != nil {
			return err
		}
		if erasedNow, err = d.erasedWith(ctx, of, a, asked, 0); err != nil {
			return err
		}
	}

	d.compareErasuresOfApproval(of, history.Items, erasedBy, erasedNow)
	return nil
}

// erasedWith returns the sequence of the last entry, up to one, that has erased an approval, or a position which it has
// to do with; 0 where there is none. Up to 0 are all.
func (d *database) erasedWith(
	ctx context.Context, of escrow.InstitutionID, a escrow.Approval, asked escrow.AskedApproval, upTo int64,
) (last int64, err error) {
	subjects := map[string]bool{a.ID.String(): true}
	for _, s := range asked.Subjects {
		if s.Subject != "" {
			subjects[s.Subject] = true
		}
	}
	if a.Executed > 0 && a.Entries > 0 {
		carried, err := d.store.StoredEntries(ctx, of, a.Executed, a.Executed+a.Entries-1)
		if err != nil && !store.IsUnreadable(ctx, err) {
			return 0, err
		}
		for _, entry := range carried {
			if entry.Kind == escrow.KindPositionCreated {
				subjects[entry.Subject] = true
			}
		}
	}

	for subject := range subjects {
		kinds := []escrow.Kind{escrow.KindPositionDataErased, escrow.KindApprovalDataErased}
		erasures := escrow.EntryFilter{Subject: subject, Kinds: kinds, UpTo: upTo}
		found, err := d.store.Entries(ctx, of, erasures, escrow.PageRequest{Limit: 1, Descending: true})
		if err != nil && !store.IsUnreadable(ctx, err) {
			return 0, err
		}
		for _, entry := range found.Items {
			last = max(last, entry.Sequence)
		}
	}
	return last, nil
}
