package store

import (
	"context"
	"slices"
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
		erasable("holder_reference", optionalTextColumn(&p.HolderReference)),
		erasable("external_reference", optionalTextColumn(&p.ExternalReference)),
		fixed("unique_in", optionalIDColumn(&p.UniqueIn)),
		fixed("currency", textColumn(&p.Currency.Code)),
		fixed("decimals", bigintColumn(&p.Currency.Decimals)),
		fixed("amount", bigintColumn(&p.Amount)),
		changing("funded", bigintColumn(&p.Funded)),
		changing("released", bigintColumn(&p.Released)),
		changing("refunded", bigintColumn(&p.Refunded)),
		changing("held", bigintColumn(&p.Held)),
		changing("holds", bigintColumn(&p.Holds)),
		changing("whole_holds", bigintColumn(&p.WholeHolds)),
		changing("held_back", bigintColumn(&p.HeldBack)),
		fixed("retained", bigintColumn(&p.Retained)),
		fixed("expires_at", optionalTimeColumn(&p.ExpiresAt)),
		erasable("metadata", bytesColumn((*[]byte)(&p.Metadata))),
		fixed("created_at", timeColumn(&p.CreatedAt)),
		changing("updated_at", timeColumn(&p.UpdatedAt)),
	}
}, large("metadata"))

var positionRows = newRows(rowsOf[escrow.PositionID, escrow.Position, escrow.Position]{
	table:  positionTable,
	in:     func(b *escrow.Books) *escrow.Rows[escrow.PositionID, escrow.Position] { return &b.Positions },
	key:    func(p escrow.Position) escrow.PositionID { return p.ID },
	pack:   asIs[escrow.Position],
	unpack: func(p escrow.Position) (escrow.InstitutionID, escrow.Position) { return p.InstitutionID, p },
	named:  func(n *escrow.Needs) *[]escrow.PositionID { return &n.Positions },
	also: &furtherRows{
		needed: func(n *escrow.Needs) bool { return n.HoldingPosition },
		each:   "SELECT " + positionTable.list + " " + holdingPosition("$1"),
		all: "SELECT p.* FROM unnest($1::uuid[]) AS n (institution_id) CROSS JOIN LATERAL (SELECT " +
			positionTable.list + " " + holdingPosition("n.institution_id") + ") AS p",
	},
	keys:    idKeysOf(escrow.PositionID{}),
	cached:  func(p escrow.Position) bool { return len(p.Metadata) <= maxCachedMetadata },
	subject: func(p escrow.Position) string { return p.ID.String() },
})

// holdingPosition selects one of the positions of an institution that hold money. There is
// some in these states alone, and by them there is an index.
func holdingPosition(institution string) string {
	return "FROM positions WHERE institution_id = " + institution +
		" AND state IN ('FUNDED', 'PARTIALLY_RELEASED') LIMIT 1"
}

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
	entries, err := all(ctx, s.database, `SELECT `+wholeEntry+` FROM journal_entries WHERE institution_id = $1 AND subject = $2
		ORDER BY sequence LIMIT $3`, []any{idArg(p.InstitutionID), p.ID.String(), p.Version}, scanEntry)
	for _, entry := range entries {
		size += len(entry.Body) + len(entry.Private)
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
	list := s.createdPositions
	if len(filter.Within.TemplateIDs) > 0 {
		list = s.sievedPositions
	}
	if filter.Updated != (escrow.Period{}) {
		list = s.updatedPositions
	}
	found, err := list(ctx, institution, filter, page)
	if err == nil && filter.WithEvents {
		err = s.addEvents(ctx, &found)
	}
	return found, err
}

func (s *Store) createdPositions(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Position], error) {
	return idPage(ctx, s.database, positionList(institution, filter), filter.Period, page, positionTable.scan)
}

// positionList is the list of the positions of a filter, whatever the templates that it is Within.
func positionList(institution escrow.InstitutionID, filter escrow.PositionFilter) *list {
	l := listOf(positionTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if filter.Asset != nil {
		l.where("asset_id = %s", idArg(*filter.Asset))
	}
	l.whereText("holder_reference", filter.HolderReference)
	l.whereText("external_reference", filter.ExternalReference)
	whereIn(l, "holder_reference", filter.Within.HolderReferences)
	whereID(l, "asset_id", filter.Within.AssetIDs)
	whereIn(l, "state", filter.States)
	whereIn(l, "currency", filter.Currencies)
	return l
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
			page.Items, page.More, page.Next = page.Items[:i], true, nil
			return nil
		}
	}
	return nil
}

// MaxClaims bounds the positions that Claims is asked for.
const MaxClaims = 1000

const claimColumns = `SELECT p.id, COALESCE(holder_reference, ''), asset_id, COALESCE(
		(SELECT label FROM assets AS a WHERE a.institution_id = p.institution_id AND a.id = p.asset_id), '') FROM `

var claimsByKey = statement{
	perRow: claimColumns + "positions AS p WHERE institution_id = $1 AND id = $2",
	perSet: claimColumns +
		"unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id) JOIN positions AS p USING (institution_id, id)",
}

// Claims adds what at most MaxClaims positions of an institution are claims on, by position. One
// that is not there is left out.
func (s *Store) Claims(
	ctx context.Context, institution escrow.InstitutionID, ids []escrow.PositionID,
	claims map[escrow.PositionID]escrow.Claim,
) error {
	add := func(r row) error {
		var id escrow.PositionID
		var c escrow.Claim
		err := r.Scan((*[16]byte)(&id), &c.HolderReference, (*[16]byte)(&c.AssetID), &c.AssetLabel)
		claims[id] = c
		return err
	}

	return Failure(s.readByIDs(ctx, institution, idArgs(ids), claimsByKey, add))
}

// readByIDs reads rows of an institution by their ids: row by row in SQLite, and all together in
// PostgreSQL, as the rows of a group are. With a list of ids PostgreSQL would read all of the
// institution's where it has not analyzed the table.
func (s *Store) readByIDs(
	ctx context.Context, of escrow.InstitutionID, ids [][16]byte, reads statement, scan func(row) error,
) error {
	if !s.database.isExclusive() {
		owners := slices.Repeat([][16]byte{idArg(of)}, len(ids))
		return s.database.query(ctx, reads.perSet, []any{owners, ids}, scan)
	}
	for _, id := range ids {
		if err := s.database.query(ctx, reads.perRow, []any{idArg(of), id}, scan); err != nil {
			return err
		}
	}
	return nil
}

// canExpire is the condition of the partial index on the positions that can expire, to the
// letter. What is on hold does not.
var canExpire = "state IN (" + quoted(escrow.OpenStates()) + ") AND holds = 0"

// duePositions reads open positions by the time of their expiry.
var duePositions = `SELECT institution_id, id FROM positions
		WHERE expires_at <= $1 AND ` + canExpire + `
		ORDER BY expires_at LIMIT $2`

// DuePositions returns open positions that have outlived their expiresAt and are under no hold, the
// longest overdue first.
func (s *Store) DuePositions(ctx context.Context, now time.Time, limit int) ([]escrow.DuePosition, error) {
	return all(ctx, s.database, duePositions,
		[]any{now, int64(limit)}, func(r row) (due escrow.DuePosition, err error) {
			err = r.Scan((*[16]byte)(&due.InstitutionID), (*[16]byte)(&due.PositionID))
			return due, err
		})
}
