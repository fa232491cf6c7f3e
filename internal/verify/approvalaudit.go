package verify

import (
	"context"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// auditApprovals follows the entries of a page for what was carried out without the approvals that it takes.
func (c *chain) auditApprovals(ctx context.Context, entries []escrow.Entry) error {
	var places map[string]escrow.AuditPlace
	setsRules := func(entry escrow.Entry) bool { return entry.Kind == escrow.KindApprovalRulesSet }
	if c.audit.AsksForAssets() || slices.ContainsFunc(entries, setsRules) {
		var err error
		if places, err = c.v.placesOf(ctx, c.of, entries); err != nil {
			return err
		}
	}

	for _, entry := range entries {
		c.asks = c.asks || entry.Kind == escrow.KindApprovalRequested || entry.Kind == escrow.KindApprovalDataErased
		if err := c.audit.Next(entry, places); err != nil {
			c.v.differAt(c.of, entry.Sequence, "an entry of which "+excerpt(err.Error()),
				"one that has the approvals which it takes")
		}
	}
	return nil
}

// placesOf returns where the positions and the assets stand that an audit asks for with some entries.
func (v *verification) placesOf(
	ctx context.Context, of escrow.InstitutionID, entries []escrow.Entry,
) (map[string]escrow.AuditPlace, error) {
	var asked, assets, templates []string
	for _, entry := range entries {
		asked = append(asked, entry.AuditPlaces()...)
	}
	places, err := v.placesTold(ctx, of, asked)
	if err != nil {
		return nil, err
	}

	for _, place := range places {
		if !place.Asset.IsZero() {
			assets = append(assets, place.Asset.String())
		}
	}
	ofAssets, err := v.placesTold(ctx, of, append(assets, asked...))
	if err != nil {
		return nil, err
	}
	for _, place := range ofAssets {
		if !place.Template.IsZero() {
			templates = append(templates, place.Template.String())
		}
	}
	ofTemplates, err := v.placesTold(ctx, of, templates)
	if err != nil {
		return nil, err
	}

	for _, name := range asked {
		place := places[name]
		if !place.Asset.IsZero() {
			place.Template = ofAssets[place.Asset.String()].Template
		}
		place.Region = ofTemplates[place.Template.String()].Region
		places[name] = place
	}
	return places, nil
}

// placesTold returns what the first entry on each of some subjects tells of where it stands.
func (v *verification) placesTold(
	ctx context.Context, of escrow.InstitutionID, subjects []string,
) (map[string]escrow.AuditPlace, error) {
	slices.Sort(subjects)
	places := make(map[string]escrow.AuditPlace)
	for some := range slices.Chunk(slices.Compact(slices.Clone(subjects)), store.MaxHistories) {
		history, err := v.journal.Histories(ctx, of, some)
		if store.IsUnreadable(ctx, err) {
			continue // It was found where the journal was read.
		}
		if err != nil {
			return nil, err
		}

		for _, stored := range history {
			entry, err := escrow.ParseEntry(stored.Body, nil)
			if err != nil {
				continue
			}
			if place, ok := entry.Place(); ok {
				places[entry.Subject] = place
			}
		}
	}
	return places, nil
}
