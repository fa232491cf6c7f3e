package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const assetColumns = "institution_id, id, template_id, label, metadata, created_at"

var assetTable = newTable("assets", 2,
	[]string{"institution_id uuid", "id uuid", "template_id uuid", "label text", "metadata bytea", "created_at timestamptz"},
	func(a *escrow.Asset, to columns) error {
		to.id(a.InstitutionID)
		to.id(a.ID)
		to.id(a.TemplateID)
		to.text(a.Label)
		to.bytes(a.Metadata)
		to.time(a.CreatedAt)
		return nil
	})

func scanAsset(r row, a *escrow.Asset) error {
	return r.Scan((*[16]byte)(&a.InstitutionID), (*[16]byte)(&a.ID), (*[16]byte)(&a.TemplateID), &a.Label,
		(*[]byte)(&a.Metadata), &a.CreatedAt)
}

// Asset returns one asset of an institution.
func (s *Store) Asset(
	ctx context.Context, institution escrow.InstitutionID, id escrow.AssetID,
) (escrow.Asset, bool, error) {
	return one(ctx, s, "SELECT "+assetColumns+" FROM assets WHERE institution_id = $1 AND id = $2",
		[]any{idArg(institution), idArg(id)}, scanAsset)
}

// Assets returns a page of an institution's assets.
func (s *Store) Assets(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.AssetFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Asset], error) {
	l := &list{from: "SELECT " + assetColumns + " FROM assets", key: "id"}
	l.where("institution_id = %s", idArg(institution))
	if filter.Template != nil {
		l.where("template_id = %s", idArg(*filter.Template))
	}
	return idPage(ctx, s, l, filter.Period, page, scanAsset)
}
