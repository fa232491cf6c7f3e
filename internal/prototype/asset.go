package prototype

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// asset is an asset that was taken.
type asset struct {
	id       escrow.AssetID
	template template
}

func (t *tenant) importAssets(ctx context.Context, page []assetRow) error {
	var things []*wanted
	templates := make(map[string]template)
	for _, row := range page {
		template, taken := t.templates[row.TemplateID]
		if !taken {
			if err := t.report(missing(Assets, row.ID, Templates, row.TemplateID)); err != nil {
				return err
			}
			continue
		}

		was := origin{ID: row.ID, CreatedAt: formatTime(row.CreatedAt), UpdatedAt: formatTime(row.UpdatedAt)}
		build := func(metadata escrow.Metadata) (escrow.Command, escrow.Faults) {
			return escrow.NewCreateAsset(escrow.AssetInput{
				TemplateID: template.id.String(), Label: row.Label, Metadata: metadata,
			})
		}
		command, notes, err := withMetadata(Assets, row.ID, was, row.Metadata, build)
		things = append(things, &wanted{kind: Assets, id: row.ID, command: command, notes: notes, err: err})
		templates[row.ID] = template
	}

	return t.makeAll(ctx, t.id, things, func(w *wanted) error {
		made := asset{template: templates[w.id]}
		err := made.id.UnmarshalText([]byte(w.subject))
		t.assets[w.id] = made
		return err
	})
}
