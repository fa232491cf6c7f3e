package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var templateTable = newTable("asset_templates", func(t *escrow.AssetTemplate) []column {
	return []column{
		key("institution_id", uuidColumn(&t.InstitutionID)),
		key("id", uuidColumn(&t.ID)),
		fixed("code", textColumn(&t.Code)),
		changing("name", textColumn(&t.Name)),
		fixed("vertical", textColumn(&t.Vertical)),
		fixed("region", textColumn(&t.Region)),
		fixed("config", jsonColumn(&t.Config)),
		fixed("created_at", timeColumn(&t.CreatedAt)),
		changing("version", bigintColumn(&t.Version)),
		changing("closed_at", optionalTimeColumn(&t.ClosedAt)),
	}
})

var templateRows = newRows(rowsOf[escrow.TemplateID, escrow.AssetTemplate, escrow.AssetTemplate]{
	table:   templateTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.TemplateID, escrow.AssetTemplate] { return &b.Templates },
	key:     func(t escrow.AssetTemplate) escrow.TemplateID { return t.ID },
	pack:    asIs[escrow.AssetTemplate],
	unpack:  func(t escrow.AssetTemplate) (escrow.InstitutionID, escrow.AssetTemplate) { return t.InstitutionID, t },
	named:   func(n *escrow.Needs) *[]escrow.TemplateID { return &n.Templates },
	keys:    idKeysOf(escrow.TemplateID{}),
	cached:  remembersAll[escrow.AssetTemplate],
	subject: func(t escrow.AssetTemplate) string { return t.ID.String() },
})

// Template returns one asset template of an institution, or CodeTemplateNotFound.
func (s *Store) Template(
	ctx context.Context, institution escrow.InstitutionID, id escrow.TemplateID,
) (escrow.AssetTemplate, error) {
	template, found, err := one(ctx, s.database, templateTable.byKey,
		[]any{idArg(institution), idArg(id)}, templateTable.scan)
	return must(template, found, err, escrow.CodeTemplateNotFound, "asset template", id)
}

// Templates returns a page of an institution's asset templates.
func (s *Store) Templates(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.TemplateFilter, page escrow.PageRequest,
) (escrow.Page[escrow.AssetTemplate], error) {
	l := listOf(templateTable, "id")
	l.where("institution_id = %s", idArg(institution))
	whereID(l, "id", filter.Within.TemplateIDs)
	return idPage(ctx, s.database, l, filter.Period, page, templateTable.scan)
}
