package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The version and the state stand first: of the columns of a row that differ from what
// the journal makes of it, the first is told, and these two say most.
var positionTable = newTable("positions", func(p *escrow.Position) []column {
	return []column{
		key("institution_id", uuidColumn(&p.InstitutionID)),
		key("id", uuidColumn(&p.ID)),
		changing("version", bigintColumn(&p.Version)),
		changing("state", textColumn(&p.State)),
		changing("history_bytes", bigintColumn(&p.HistoryBytes)),
		fixed("asset_id", uuidColumn(&p.AssetID)),
		fixed("holder_reference", textColumn(&p.HolderReference)),
		fixed("external_reference", optionalTextColumn(&p.ExternalReference)),
		fixed("currency", textColumn(&p.Currency)),
		fixed("amount", bigintColumn(&p.Amount)),
		changing("funded", bigintColumn(&p.Funded)),
		changing("released", bigintColumn(&p.Released)),
		changing("refunded", bigintColumn(&p.Refunded)),
		changing("held", bigintColumn(&p.Held)),
		fixed("retained", bigintColumn(&p.Retained)),
		fixed("expires_at", optionalTimeColumn(&p.ExpiresAt)),
		fixed("metadata", bytesColumn((*[]byte)(&p.Metadata))),
		fixed("created_at", timeColumn(&p.CreatedAt)),
		changing("updated_at", timeColumn(&p.UpdatedAt)),
	}
}, large("metadata"))

var positionRows = newRows(rowsOf[escrow.PositionID, escrow.Position, escrow.Position]{
	table:   positionTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.PositionID, escrow.Position] { return &b.Positions },
	key:     func(p escrow.Position) escrow.PositionID { return p.ID },
	pack:    asIs[escrow.Position],
	unpack:  func(p escrow.Position) (escrow.InstitutionID, escrow.Position) { return p.InstitutionID, p },
	named:   func(n *escrow.Needs) *[]escrow.PositionID { return &n.Positions },
	keys:    idKeysOf(escrow.PositionID{}),
	cached:  func(p escrow.Position) bool { return len(p.Metadata) <= maxCachedMetadata },
	subject: func(p escrow.Position) string { return p.ID.String() },
})

// Position returns one position of an institution, without its events, or
// CodePositionNotFound.
func (s *Store) Position(
	ctx context.Context, institution escrow.InstitutionID, id escrow.PositionID,
) (escrow.Position, error) {
	p, found, err := recallOr(ctx, s, institution, id, positionRows.cached, func() (escrow.Position, bool, error) {
		return one(ctx, s.database, positionTable.byKey, []any{idArg(institution), idArg(id)}, positionTable.scan)
	})
	return must(p, found, err, escrow.CodePositionNotFound, "position", id)
}

// WithEvents returns a position that was read with its events, those that have led to its
// version.
func (s *Store) WithEvents(ctx context.Context, p escrow.Position) (escrow.Position, error) {
	_, err := s.readEvents(ctx, &p)
	return p, Failure(err)
}

// readEvents gives a position its events, and returns the size of their entries in
// bytes.
func (s *Store) readEvents(ctx context.Context, p *escrow.Position) (size int, err error) {
	// A step that was committed since the row was read is left out, so that the
	// events are those of the row's version.
	entries, err := all(ctx, s.database, `SELECT body FROM journal_entries WHERE institution_id = $1 AND subject = $2
		ORDER BY sequence LIMIT $3`, []any{idArg(p.InstitutionID), p.ID.String(), p.Version}, scanEntry)
	for _, entry := range entries {
		size += len(entry.Body)
		if _, event, ok := entry.PositionEvent(); ok {
			p.Events = append(p.Events, event)
		}
	}
	return size, err
}

// Positions returns a page of an institution's positions.
func (s *Store) Positions(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Position], error) {
	l := listOf(positionTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if filter.Asset != nil {
		l.where("asset_id = %s", idArg(*filter.Asset))
	}
	l.whereText("holder_reference", filter.HolderReference)
	l.whereText("external_reference", filter.ExternalReference)
	l.whereText("state", string(filter.State))
	l.whereText("currency", string(filter.Currency))

	found, err := idPage(ctx, s.database, l, filter.Period, page, positionTable.scan)
	if err == nil && filter.WithEvents {
		err = s.addEvents(ctx, &found)
	}
	return found, err
}

// addEvents gives the positions of a page their events. The page ends before the position
// whose events it has no room for.
func (s *Store) addEvents(ctx context.Context, page *escrow.Page[escrow.Position]) error {
	size := 0
	for i := range page.Items {
		added, err := s.readEvents(ctx, &page.Items[i])
		if err != nil {
			return err
		}
		if size += added; size > escrow.MaxPageBytes && i > 0 {
			page.Items, page.More = page.Items[:i], true
			return nil
		}
	}
	return nil
}

// isOpen is the condition of the partial index on the positions that can expire, to the
// letter.
var isOpen = "state IN (" + quoted(escrow.OpenStates()) + ")"

// duePositions reads open positions by the time of their expiry.
var duePositions = `SELECT institution_id, id FROM positions
		WHERE expires_at <= $1 AND ` + isOpen + `
		ORDER BY expires_at LIMIT $2`

// DuePositions returns open positions that have outlived their expiresAt, the
// longest overdue first.
func (s *Store) DuePositions(ctx context.Context, now time.Time, limit int) ([]escrow.DuePosition, error) {
	return all(ctx, s.database, duePositions,
		[]any{now, int64(limit)}, func(r row) (due escrow.DuePosition, err error) {
			err = r.Scan((*[16]byte)(&due.InstitutionID), (*[16]byte)(&due.PositionID))
			return due, err
		})
}
