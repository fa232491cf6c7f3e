package store

import "github.com/escrowgrid/escrowgrid/internal/escrow"

var movesTable = newTable("recent_moves", func(m *escrow.RecentMoves) []column {
	return []column{
		key("institution_id", uuidColumn(&m.InstitutionID)),
		key("of_actor", textColumn(&m.Of)),
		changing("hours", jsonColumn(&m.Hours)),
	}
})

// That somebody has moved nothing is remembered as well: each transition asks for it where there are rules,
// and with rules that have no window there are no rows at all.
var movesRows = newRows(rowsOf[string, escrow.RecentMoves, escrow.RecentMoves]{
	table:         movesTable,
	in:            func(b *escrow.Books) *escrow.Rows[string, escrow.RecentMoves] { return &b.Moves },
	key:           func(m escrow.RecentMoves) string { return m.Of },
	pack:          asIs[escrow.RecentMoves],
	unpack:        func(m escrow.RecentMoves) (escrow.InstitutionID, escrow.RecentMoves) { return m.InstitutionID, m },
	named:         func(n *escrow.Needs) *[]string { return &n.Moves },
	keys:          textKeys(),
	cached:        remembersAll[escrow.RecentMoves],
	remembersNone: true,
	derived:       true,
})
