package store

import (
	"context"
	"iter"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The lists of a key that is restricted to some asset templates. A position does not say which
// template its asset is of: what the list has without that is read in its order, and the rest is
// left out.

// sievedAtOnce is how many positions are looked at together.
const sievedAtOnce = 500

// sievedPositions is createdPositions for a filter that is Within some templates. A page looks at
// maxSteps positions at most: it can be short or empty, and goes on behind them.
func (s *Store) sievedPositions(
	ctx context.Context, of escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Position], error) {
	found := escrow.Page[escrow.Position]{Items: []escrow.Position{}}
	size := 0
	next, unread, err := s.eachSieved(ctx, of, filter, page, func(p escrow.Position) bool {
		if len(found.Items) == page.Limit || size >= escrow.MaxPageBytes {
			found.More = true
			return false
		}
		found.Items = append(found.Items, p)
		size += len(p.Metadata)
		return true
	})
	if unread {
		found.More, found.Next = true, &next
	}

	if err == nil && page.Count {
		found.Count = new(int)
		page.After = nil
		_, found.AtLeast, err = s.eachSieved(ctx, of, filter, page, func(escrow.Position) bool {
			*found.Count++
			return *found.Count <= escrow.MaxCount
		})
	}
	return found, err
}

// eachSieved visits the positions of a list from a page's cursor on, until visit returns false. Where
// it has looked at maxSteps before the end of the list, unread is true, and next is where to go on.
func (s *Store) eachSieved(
	ctx context.Context, of escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
	visit func(escrow.Position) bool,
) (next escrow.Cursor, unread bool, err error) {
	page.Limit, page.Count = sievedAtOnce, false
	for left := maxSteps; ; {
		rows, err := s.createdPositions(ctx, of, filter, page)
		if err != nil {
			return next, false, err
		}
		seen, err := s.sieve(ctx, of, filter.Within, slices.Values(rows.Items))
		if err != nil {
			return next, false, Failure(err)
		}

		for _, p := range rows.Items {
			next = escrow.IDCursor(p.ID)
			if seen(p) && !visit(p) {
				return next, false, nil
			}
		}
		left -= len(rows.Items)
		if !rows.More || left <= 0 {
			return next, rows.More, nil
		}
		page.After = &next
	}
}

// sieve returns what tells which of some positions are on assets of the templates that a restriction
// has, if it has any.
func (s *Store) sieve(
	ctx context.Context, of escrow.InstitutionID, within escrow.Restriction, positions iter.Seq[escrow.Position],
) (seen func(escrow.Position) bool, err error) {
	if len(within.TemplateIDs) == 0 {
		return func(escrow.Position) bool { return true }, nil
	}

	templates := make(map[escrow.AssetID]escrow.TemplateID)
	for p := range positions {
		templates[p.AssetID] = escrow.TemplateID{}
	}
	err = s.addTemplates(ctx, of, templates)
	return func(p escrow.Position) bool { return within.SeesTemplate(templates[p.AssetID]) }, err
}

var assetTemplatesByKey = statement{
	perRow: "SELECT id, template_id FROM assets WHERE institution_id = $1 AND id = $2",
	perSet: "SELECT id, template_id FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id) " +
		"JOIN assets USING (institution_id, id)",
}

// addTemplates finds the templates of assets, which are the keys of the map.
func (s *Store) addTemplates(
	ctx context.Context, of escrow.InstitutionID, templates map[escrow.AssetID]escrow.TemplateID,
) error {
	ids := make([][16]byte, 0, len(templates))
	for id := range templates {
		ids = append(ids, idArg(id))
	}
	return s.readByIDs(ctx, of, ids, assetTemplatesByKey, func(r row) error {
		var asset escrow.AssetID
		var template escrow.TemplateID
		err := r.Scan((*[16]byte)(&asset), (*[16]byte)(&template))
		templates[asset] = template
		return err
	})
}
