package store

import (
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// references is the needs of a batch in the form of set-based queries: pairs of
// arrays, the institution at each place owning the id at the same place.
type references struct {
	institutions, policies             [][16]byte
	keys, templates, assets, positions ref[[16]byte]
	records                            ref[string]
	// subjects are the positions' names in the journal.
	subjects []string
}

type ref[T comparable] struct {
	of  [][16]byte
	ids []T
}

func (r *references) add(institution escrow.InstitutionID, needs escrow.Needs) {
	of := idArg(institution)
	if needs.Institution {
		r.institutions = append(r.institutions, of)
	}
	if needs.Policies {
		r.policies = append(r.policies, of)
	}
	r.keys.add(of, uuids(needs.Keys))
	r.templates.add(of, uuids(needs.Templates))
	r.assets.add(of, uuids(needs.Assets))
	r.positions.add(of, uuids(needs.Positions))
	r.records.add(of, needs.Records)
	for _, id := range needs.Positions {
		r.subjects = append(r.subjects, id.String())
	}
}

func (r *ref[T]) add(of [16]byte, ids []T) {
	for _, id := range ids {
		r.of = append(r.of, of)
		r.ids = append(r.ids, id)
	}
}

func uuids[K escrow.IDKind](ids []escrow.ID[K]) [][16]byte {
	plain := make([][16]byte, len(ids))
	for i, id := range ids {
		plain[i] = idArg(id)
	}
	return plain
}

// prefixed puts a table's alias before each of its columns.
func prefixed(alias, columns string) string {
	return alias + "." + strings.ReplaceAll(columns, ", ", ", "+alias+".")
}
