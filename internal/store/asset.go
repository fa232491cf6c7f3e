package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var assetTable = newTable("assets", func(a *escrow.Asset) []column {
	return []column{
		key("institution_id", uuidColumn(&a.InstitutionID)),
		key("id", uuidColumn(&a.ID)),
		fixed("template_id", uuidColumn(&a.TemplateID)),
		changing("label", textColumn(&a.Label)),
		changing("metadata", bytesColumn((*[]byte)(&a.Metadata))),
		fixed("created_at", timeColumn(&a.CreatedAt)),
		changing("version", bigintColumn(&a.Version)),
		changing("closed_at", optionalTimeColumn(&a.ClosedAt)),
	}
}, large("metadata"))

var assetRows = newRows(rowsOf[escrow.AssetID, escrow.Asset, escrow.Asset]{
	table:  assetTable,
	in:     func(b *escrow.Books) *escrow.Rows[escrow.AssetID, escrow.Asset] { return &b.Assets },
	key:    func(a escrow.Asset) escrow.AssetID { return a.ID },
	pack:   asIs[escrow.Asset],
	unpack: func(a escrow.Asset) (escrow.InstitutionID, escrow.Asset) { return a.InstitutionID, a },
	named:  func(n *escrow.Needs) *[]escrow.AssetID { return &n.Assets },
	keys:   idKeysOf(escrow.AssetID{}),
	with: []companion[escrow.AssetID]{{ // Its template.
		keys: idKeysOf(escrow.AssetID{}),
		each: "SELECT " + templateTable.list + ` FROM asset_templates WHERE institution_id = $1
			AND id = (SELECT template_id FROM assets WHERE institution_id = $1 AND id = $2)`,
		all: "SELECT " + names(templateTable.layout, "t.") + ` FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id)
			JOIN assets AS a ON a.institution_id = n.institution_id AND a.id = n.id
			JOIN asset_templates AS t ON t.institution_id = a.institution_id AND t.id = a.template_id`,
		load: templateRows.load,
	}},
	cached: func(a escrow.Asset) bool { return len(a.Metadata) <= maxCachedMetadata },
	isWhole: func(recall recallRow, books *escrow.Books, asset escrow.Asset) bool {
		return templateRows.fillOne(recall, books, asset.TemplateID)
	},
	subject: func(a escrow.Asset) string { return a.ID.String() },
})

// Asset returns one asset of an institution, or CodeAssetNotFound.
func (s *Store) Asset(ctx context.Context, institution escrow.InstitutionID, id escrow.AssetID) (escrow.Asset, error) {
	asset, found, err := one(ctx, s.database, assetTable.byKey, []any{idArg(institution), idArg(id)}, assetTable.scan)
	return must(asset, found, err, escrow.CodeAssetNotFound, "asset", id)
}

// Assets returns a page of an institution's assets.
func (s *Store) Assets(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.AssetFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Asset], error) {
	l := listOf(assetTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if filter.Template != nil {
		l.where("template_id = %s", idArg(*filter.Template))
	}
	whereID(l, "id", filter.Within.AssetIDs)
	whereID(l, "template_id", filter.Within.TemplateIDs)
	return idPage(ctx, s.database, l, filter.Period, page, assetTable.scan)
}
