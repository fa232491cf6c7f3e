package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

const positionColumns = `institution_id, id, asset_id, holder_reference, COALESCE(external_reference, ''), currency,
	amount, funded, released, refunded, held, retained, state, version, expires_at, metadata, created_at, updated_at`

var positionTable = newTable("positions", 2,
	[]string{
		"institution_id uuid", "id uuid", "asset_id uuid", "holder_reference text", "external_reference text", "currency text",
		"amount bigint", "~funded bigint", "~released bigint", "~refunded bigint", "~held bigint", "retained bigint",
		"~state text", "~version bigint", "expires_at timestamptz", "metadata bytea", "created_at timestamptz",
		"~updated_at timestamptz",
	},
	func(p *escrow.Position, to columns) error {
		to.id(p.InstitutionID)
		to.id(p.ID)
		to.id(p.AssetID)
		to.text(p.HolderReference)
		to.optionalText(p.ExternalReference)
		to.text(string(p.Currency))
		for _, amount := range [...]money.Amount{p.Amount, p.Funded, p.Released, p.Refunded, p.Held, p.Retained} {
			to.number(int64(amount))
		}
		to.text(string(p.State))
		to.number(p.Version)
		to.optionalTime(p.ExpiresAt)
		to.bytes(p.Metadata)
		to.time(p.CreatedAt)
		to.time(p.UpdatedAt)
		return nil
	})

func scanPosition(r row, p *escrow.Position) error {
	return r.Scan((*[16]byte)(&p.InstitutionID), (*[16]byte)(&p.ID), (*[16]byte)(&p.AssetID), &p.HolderReference,
		&p.ExternalReference, (*string)(&p.Currency), (*int64)(&p.Amount), (*int64)(&p.Funded), (*int64)(&p.Released),
		(*int64)(&p.Refunded), (*int64)(&p.Held), (*int64)(&p.Retained), (*string)(&p.State), &p.Version, &p.ExpiresAt,
		(*[]byte)(&p.Metadata), &p.CreatedAt, &p.UpdatedAt)
}

// Position returns one position of an institution, with its events.
func (s *Store) Position(
	ctx context.Context, institution escrow.InstitutionID, id escrow.PositionID,
) (escrow.Position, bool, error) {
	return recallOr(ctx, s, institution, id, isSmall, func() (escrow.Position, bool, error) {
		p, found, err := one(ctx, s, "SELECT "+positionColumns+" FROM positions WHERE institution_id = $1 AND id = $2",
			[]any{idArg(institution), idArg(id)}, scanPosition)
		if err != nil || !found {
			return p, found, err
		}
		_, err = s.loadEvents(ctx, &p)
		return p, true, err
	})
}

// loadEvents gives a position its events, and returns the size of their entries in
// bytes.
func (s *Store) loadEvents(ctx context.Context, p *escrow.Position) (size int, err error) {
	// A step that was committed since the row was read is left out, so that the
	// events are those of the row's version.
	entries, err := all(ctx, s, `SELECT body FROM journal_entries WHERE institution_id = $1 AND subject = $2
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
	l := &list{from: "SELECT " + positionColumns + " FROM positions", key: "id"}
	l.where("institution_id = %s", idArg(institution))
	if filter.Asset != nil {
		l.where("asset_id = %s", idArg(*filter.Asset))
	}
	l.whereText("holder_reference", filter.HolderReference)
	l.whereText("external_reference", filter.ExternalReference)
	l.whereText("state", string(filter.State))
	l.whereText("currency", string(filter.Currency))
	found, err := idPage(ctx, s, l, filter.Period, page, scanPosition)
	if err == nil && filter.WithEvents {
		err = s.addEvents(ctx, &found)
	}
	return found, err
}

// maxEventBytes bounds the entries that a page of positions with events reads;
// the page ends before the position that passes it.
const maxEventBytes = 16 << 20

// addEvents gives the positions of a page their events.
func (s *Store) addEvents(ctx context.Context, page *escrow.Page[escrow.Position]) error {
	size := 0
	for i := range page.Items {
		added, err := s.loadEvents(ctx, &page.Items[i])
		if err != nil {
			return err
		}
		if size += added; size > maxEventBytes && i > 0 {
			page.Items, page.More = page.Items[:i], true
			return nil
		}
	}
	return nil
}

// DuePositions returns open positions that have outlived their expiresAt, the
// longest overdue first.
func (s *Store) DuePositions(ctx context.Context, now time.Time, limit int) ([]escrow.DuePosition, error) {
	return all(ctx, s, `SELECT institution_id, id FROM positions
		WHERE expires_at <= $1 AND state IN ('CREATED', 'FUNDED', 'PARTIALLY_RELEASED')
		ORDER BY expires_at LIMIT $2`, []any{now, int64(limit)},
		func(r row, due *escrow.DuePosition) error {
			return r.Scan((*[16]byte)(&due.InstitutionID), (*[16]byte)(&due.PositionID))
		})
}
