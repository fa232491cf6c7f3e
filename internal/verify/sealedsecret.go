package verify

import (
	"context"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// compareSecrets compares the secrets that rows are said to have with those that are kept: no entry
// tells what is sealed, but that there is something.
func (d *database) compareSecrets(ctx context.Context, of escrow.InstitutionID) error {
	said, kept, err := d.store.SecretNames(ctx, of)
	if store.IsUnreadable(ctx, err) {
		d.differUnreadable(of, "secrets", err)
		return nil
	}
	if err != nil {
		return err
	}

	what := func(name escrow.SecretName) string {
		return "secrets " + excerpt(string(name.Kind)) + " of " + excerpt(name.Subject)
	}
	for _, name := range said {
		if !slices.Contains(kept, name) {
			d.differ(of, what(name), nothing, "a row, as what it is of has a secret")
		}
	}
	for _, name := range kept {
		if !slices.Contains(said, name) {
			d.differ(of, what(name), "a row", nothing+", as what it is of has no secret")
		}
	}
	return nil
}
