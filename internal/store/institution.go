package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var institutionTable = newTable("institutions", func(i *escrow.Institution) []column {
	return []column{
		key("id", uuidColumn(&i.ID)),
		changing("name", textColumn(&i.Name)),
		fixed("regions", wordsColumn(&i.Regions)),
		fixed("verticals", wordsColumn(&i.Verticals)),
		fixed("created_at", timeColumn(&i.CreatedAt)),
		changing("version", bigintColumn(&i.Version)),
		changing("closed_at", optionalTimeColumn(&i.ClosedAt)),
	}
})

var institutionRows = newRows(rowsOf[escrow.InstitutionID, escrow.Institution, escrow.Institution]{
	table:   institutionTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.InstitutionID, escrow.Institution] { return &b.Institutions },
	key:     func(i escrow.Institution) escrow.InstitutionID { return i.ID },
	pack:    asIs[escrow.Institution],
	unpack:  func(i escrow.Institution) (escrow.InstitutionID, escrow.Institution) { return i.ID, i },
	whole:   func(n *escrow.Needs) *bool { return &n.Institution },
	cached:  remembersAll[escrow.Institution],
	subject: func(i escrow.Institution) string { return i.ID.String() },
})

// Institution returns one institution, or CodeInstitutionNotFound.
func (s *Store) Institution(ctx context.Context, id escrow.InstitutionID) (escrow.Institution, error) {
	institution, found, err := one(ctx, s.database, institutionTable.byKey, []any{idArg(id)}, institutionTable.scan)
	return must(institution, found, err, escrow.CodeInstitutionNotFound, "institution", id)
}

// Institutions returns a page of all institutions.
func (s *Store) Institutions(
	ctx context.Context, period escrow.Period, page escrow.PageRequest,
) (escrow.Page[escrow.Institution], error) {
	l := listOf(institutionTable, "id")
	return idPage(ctx, s.database, l, period, page, institutionTable.scan)
}
