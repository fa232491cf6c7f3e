package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const institutionColumns = "id, name, regions, verticals, created_at"

var institutionTable = newTable("institutions", 1,
	[]string{"id uuid", "name text", "regions text", "verticals text", "created_at timestamptz"},
	func(i *escrow.Institution, to columns) error {
		to.id(i.ID)
		to.text(i.Name)
		regions, err := jsonArray(i.Regions)
		to.text(regions)
		verticals, err2 := jsonArray(i.Verticals)
		to.text(verticals)
		to.time(i.CreatedAt)
		return errors.Join(err, err2)
	})

func scanInstitution(r row, i *escrow.Institution) error {
	var regions, verticals string
	err := r.Scan((*[16]byte)(&i.ID), &i.Name, &regions, &verticals, &i.CreatedAt)
	return errors.Join(err, json.Unmarshal([]byte(regions), &i.Regions), json.Unmarshal([]byte(verticals), &i.Verticals))
}

// Institution returns one institution.
func (s *Store) Institution(ctx context.Context, id escrow.InstitutionID) (escrow.Institution, bool, error) {
	return one(ctx, s, "SELECT "+institutionColumns+" FROM institutions WHERE id = $1", []any{idArg(id)}, scanInstitution)
}

// Institutions returns a page of all institutions.
func (s *Store) Institutions(
	ctx context.Context, period escrow.Period, page escrow.PageRequest,
) (escrow.Page[escrow.Institution], error) {
	l := &list{from: "SELECT " + institutionColumns + " FROM institutions", key: "id"}
	return idPage(ctx, s, l, period, page, scanInstitution)
}
