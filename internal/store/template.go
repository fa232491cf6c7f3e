package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const templateColumns = "institution_id, id, code, name, vertical, region, config, created_at"

var templateTable = newTable("asset_templates", 2,
	[]string{
		"institution_id uuid", "id uuid", "code text", "name text", "vertical text", "region text", "config text",
		"created_at timestamptz",
	},
	func(t *escrow.AssetTemplate, to columns) error {
		to.id(t.InstitutionID)
		to.id(t.ID)
		to.text(string(t.Code))
		to.text(t.Name)
		to.text(string(t.Vertical))
		to.text(string(t.Region))
		config, err := json.Marshal(t.Config)
		to.text(string(config))
		to.time(t.CreatedAt)
		return err
	})

func scanTemplate(r row, t *escrow.AssetTemplate) error {
	var config string
	err := r.Scan((*[16]byte)(&t.InstitutionID), (*[16]byte)(&t.ID), (*string)(&t.Code), &t.Name,
		(*string)(&t.Vertical), (*string)(&t.Region), &config, &t.CreatedAt)
	return errors.Join(err, json.Unmarshal([]byte(config), &t.Config))
}

// Template returns one asset template of an institution.
func (s *Store) Template(
	ctx context.Context, institution escrow.InstitutionID, id escrow.TemplateID,
) (escrow.AssetTemplate, bool, error) {
	return one(ctx, s, "SELECT "+templateColumns+" FROM asset_templates WHERE institution_id = $1 AND id = $2",
		[]any{idArg(institution), idArg(id)}, scanTemplate)
}

// Templates returns a page of an institution's asset templates.
func (s *Store) Templates(
	ctx context.Context, institution escrow.InstitutionID, period escrow.Period, page escrow.PageRequest,
) (escrow.Page[escrow.AssetTemplate], error) {
	l := &list{from: "SELECT " + templateColumns + " FROM asset_templates", key: "id"}
	l.where("institution_id = %s", idArg(institution))
	return idPage(ctx, s, l, period, page, scanTemplate)
}
