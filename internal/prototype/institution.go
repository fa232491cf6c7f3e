package prototype

import (
	"context"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// tenant is an institution that is being imported.
type tenant struct {
	*importer
	row institutionRow
	id  escrow.InstitutionID
	// templates and assets are those that were taken, by the prototype's ids.
	templates map[string]template
	assets    map[string]asset
}

// institution imports an institution and all that it has. Policies come last: they concern new
// positions, and would refuse some that the prototype took before they were set.
func (i *importer) institution(ctx context.Context, row institutionRow) error {
	templates, err := i.from.templates(ctx, row.ID)
	if err != nil {
		return err
	}
	policies, err := i.from.policies(ctx, row.ID)
	if err != nil {
		return err
	}

	regions, verticals, notes := activeIn(row, templates, policies)
	command, faults := escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name: row.Name, Regions: regions, Verticals: verticals,
	})
	t := &tenant{importer: i, row: row, templates: make(map[string]template), assets: make(map[string]asset)}
	made := func(w *wanted) error { return t.id.UnmarshalText([]byte(w.subject)) }
	err = i.makeAll(ctx, escrow.InstitutionID{}, []*wanted{
		newWanted(Institutions, row.ID, command, faults, notes),
	}, made)
	if err != nil {
		return err
	}

	for _, step := range []func() error{
		func() error { return t.importTemplates(ctx, templates) },
		func() error {
			return i.from.eachAssets(ctx, row.ID, func(page []assetRow) error { return t.importAssets(ctx, page) })
		},
		func() error {
			positions := func(page []positionRow) error { return t.importPositions(ctx, page) }
			return i.from.eachPositions(ctx, row.ID, positions)
		},
		func() error { return t.importPolicies(ctx, policies) },
		func() error { return t.importKeys(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// isLeftOut reports whether there is no institution to import into.
func (t *tenant) isLeftOut() bool { return t.id.IsZero() }

// missing is the line of a thing that cannot be without another one.
func missing(kind Kind, id string, owner Kind, ownerID string) Line {
	return leftOut(kind, id, string(owner)+"_left_out", fmt.Sprintf("its %s %s was left out", owner, ownerID))
}

// activeIn returns the regions and verticals of an institution. The prototype takes templates and
// policies of others, too, and works with them: the institution is active there.
func activeIn(
	row institutionRow, templates []templateRow, policies []policyRow,
) (regions []string, verticals *[]string, notes []Line) {
	var active []string
	add := func(list *[]string, word, member, of string) {
		if slices.Contains(*list, word) {
			return
		}
		*list = append(*list, word)
		message := fmt.Sprintf("%s is added, which %s has", word, of)
		notes = append(notes, changed(Institutions, row.ID, member+"_added", message))
	}

	for _, region := range row.Regions {
		if !slices.Contains(regions, region) {
			regions = append(regions, region)
		}
	}
	for _, vertical := range row.Verticals {
		if !slices.Contains(active, vertical) {
			active = append(active, vertical)
		}
	}
	for _, t := range templates {
		add(&regions, t.Region, "region", t.ID)
		if len(active) > 0 {
			add(&active, t.Vertical, "vertical", t.ID)
		}
	}
	for _, p := range policies {
		add(&regions, p.Region, "region", p.ID)
	}

	if len(active) == 0 {
		notes = append(notes, changed(Institutions, row.ID, "verticals_none", "it has no verticals, and gets all"))
		return regions, nil, notes
	}
	return regions, &active, notes
}
