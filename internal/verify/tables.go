package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// The tables of state, in the columns that they have. Amounts are in minor units there.

func institutionRows(s *store.Store, of escrowgrid.InstitutionID) table[escrowgrid.Institution] {
	return table[escrowgrid.Institution]{
		name: "institutions",
		page: func(ctx context.Context, _ escrowgrid.PageRequest) (page escrowgrid.Page[escrowgrid.Institution], err error) {
			institution, found, err := s.Institution(ctx, of)
			if found {
				page.Items = append(page.Items, institution)
			}
			return page, err
		},
		subject: func(i escrowgrid.Institution) string { return i.ID.String() },
		fields: func(i escrowgrid.Institution) []field {
			return []field{
				{"name", i.Name}, {"regions", list(i.Regions)}, {"verticals", list(i.Verticals)}, {"created_at", escrowgrid.FormatTime(i.CreatedAt)},
			}
		},
		rebuild: resource[escrowgrid.Institution],
	}
}

// keyRows takes the rotations up to the entry of a sequence, by the key replaced.
func keyRows(
	s *store.Store, of escrowgrid.InstitutionID, known int64, rotations map[escrowgrid.KeyID]escrowgrid.Entry,
) table[escrowgrid.APIKey] {
	return table[escrowgrid.APIKey]{
		name: "api_keys",
		page: func(ctx context.Context, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.APIKey], error) {
			return s.Keys(ctx, of, escrowgrid.KeyFilter{IncludeRevoked: true}, page)
		},
		cursor:  func(k escrowgrid.APIKey) escrowgrid.Cursor { return escrowgrid.IDCursor(k.ID) },
		subject: func(k escrowgrid.APIKey) string { return k.ID.String() },
		fields: func(k escrowgrid.APIKey) []field {
			return []field{
				{"label", k.Label},
				{"role", string(k.Role)},
				{"hash", k.Hash.String()},
				{"created_at", escrowgrid.FormatTime(k.CreatedAt)},
				{"expires_at", optionalTime(k.ExpiresAt)},
				{"revoked_at", optionalTime(k.RevokedAt)},
			}
		},
		rebuild: func(k escrowgrid.APIKey, history []escrowgrid.Entry) (escrowgrid.APIKey, error) {
			return escrowgrid.KeyAfter(k.ID, history)
		},
		others: func(ctx context.Context, rows []escrowgrid.APIKey, histories map[string][]escrowgrid.Entry) error {
			later, err := rotationsAfter(ctx, s, of, known)
			if err != nil {
				return err
			}
			for _, key := range rows {
				for _, rotations := range []map[escrowgrid.KeyID]escrowgrid.Entry{rotations, later} {
					if rotation, ok := rotations[key.ID]; ok {
						histories[key.ID.String()] = append(histories[key.ID.String()], rotation)
					}
				}
				slices.SortFunc(histories[key.ID.String()], func(a, b escrowgrid.Entry) int { return int(a.Sequence - b.Sequence) })
			}
			return nil
		},
	}
}

// rotationsAfter reads the entries after one that put an API key in the place of another,
// by the key replaced.
func rotationsAfter(
	ctx context.Context, s *store.Store, of escrowgrid.InstitutionID, after int64,
) (map[escrowgrid.KeyID]escrowgrid.Entry, error) {
	rotations := make(map[escrowgrid.KeyID]escrowgrid.Entry)
	page := escrowgrid.PageRequest{Limit: escrowgrid.MaxPageSize, After: new(escrowgrid.SequenceCursor(after))}
	for {
		entries, err := s.Entries(ctx, of, escrowgrid.EntryFilter{Kind: escrowgrid.KindKeyRotated}, page)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries.Items {
			if replaced, ok := entry.ReplacedKey(); ok {
				rotations[replaced] = entry
			}
			page.After = new(escrowgrid.SequenceCursor(entry.Sequence))
		}
		if !entries.More {
			return rotations, nil
		}
	}
}

func policyRows(s *store.Store, of escrowgrid.InstitutionID) table[escrowgrid.Policy] {
	return table[escrowgrid.Policy]{
		name: "policies",
		page: func(ctx context.Context, _ escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Policy], error) {
			policies, err := s.Policies(ctx, of)
			return escrowgrid.Page[escrowgrid.Policy]{Items: policies}, err
		},
		subject: func(p escrowgrid.Policy) string { return escrowgrid.PolicySubject(p.Region) },
		fields: func(p escrowgrid.Policy) []field {
			return []field{
				{"min_amount", optionalDecimal(p.MinAmount)},
				{"max_amount", optionalDecimal(p.MaxAmount)},
				{"allowed_currencies", list(p.AllowedCurrencies)},
				{"created_at", escrowgrid.FormatTime(p.CreatedAt)},
				{"updated_at", escrowgrid.FormatTime(p.UpdatedAt)},
			}
		},
		rebuild: resource[escrowgrid.Policy],
	}
}

func templateRows(s *store.Store, of escrowgrid.InstitutionID) table[escrowgrid.AssetTemplate] {
	return table[escrowgrid.AssetTemplate]{
		name: "asset_templates",
		page: func(ctx context.Context, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.AssetTemplate], error) {
			return s.Templates(ctx, of, escrowgrid.Period{}, page)
		},
		cursor:  func(t escrowgrid.AssetTemplate) escrowgrid.Cursor { return escrowgrid.IDCursor(t.ID) },
		subject: func(t escrowgrid.AssetTemplate) string { return t.ID.String() },
		fields: func(t escrowgrid.AssetTemplate) []field {
			config, err := t.Config.MarshalJSON()
			if err != nil {
				config = []byte(err.Error())
			}
			return []field{
				{"code", string(t.Code)},
				{"name", t.Name},
				{"vertical", string(t.Vertical)},
				{"region", string(t.Region)},
				{"config", string(config)},
				{"created_at", escrowgrid.FormatTime(t.CreatedAt)},
			}
		},
		rebuild: resource[escrowgrid.AssetTemplate],
	}
}

func assetRows(s *store.Store, of escrowgrid.InstitutionID) table[escrowgrid.Asset] {
	return table[escrowgrid.Asset]{
		name: "assets",
		page: func(ctx context.Context, page escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Asset], error) {
			return s.Assets(ctx, of, escrowgrid.AssetFilter{}, page)
		},
		cursor:  func(a escrowgrid.Asset) escrowgrid.Cursor { return escrowgrid.IDCursor(a.ID) },
		subject: func(a escrowgrid.Asset) string { return a.ID.String() },
		fields: func(a escrowgrid.Asset) []field {
			return []field{
				{"template_id", a.TemplateID.String()},
				{"label", a.Label},
				{"metadata", string(a.Metadata)},
				{"created_at", escrowgrid.FormatTime(a.CreatedAt)},
			}
		},
		rebuild: resource[escrowgrid.Asset],
	}
}

// positionRows reads positions from anywhere.
func positionRows(
	page func(context.Context, escrowgrid.PageRequest) (escrowgrid.Page[escrowgrid.Position], error),
) table[escrowgrid.Position] {
	return table[escrowgrid.Position]{
		name: "positions", page: page,
		cursor:  func(p escrowgrid.Position) escrowgrid.Cursor { return escrowgrid.IDCursor(p.ID) },
		subject: func(p escrowgrid.Position) string { return p.ID.String() },
		fields: func(p escrowgrid.Position) []field {
			return []field{
				{"version", fmt.Sprint(p.Version)},
				{"state", string(p.State)},
				{"currency", string(p.Currency)},
				{"amount", minorUnits(p.Amount)},
				{"funded", minorUnits(p.Funded)},
				{"released", minorUnits(p.Released)},
				{"refunded", minorUnits(p.Refunded)},
				{"held", minorUnits(p.Held)},
				{"retained", minorUnits(p.Retained)},
				{"holder_reference", p.HolderReference},
				{"external_reference", p.ExternalReference},
				{"asset_id", p.AssetID.String()},
				{"metadata", string(p.Metadata)},
				{"expires_at", optionalTime(p.ExpiresAt)},
				{"created_at", escrowgrid.FormatTime(p.CreatedAt)},
				{"updated_at", escrowgrid.FormatTime(p.UpdatedAt)},
			}
		},
		rebuild: resource[escrowgrid.Position],
		version: func(p escrowgrid.Position) int64 { return p.Version },
	}
}

func list[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ",")
}

func optionalTime(at *time.Time) string {
	if at == nil {
		return ""
	}
	return escrowgrid.FormatTime(*at)
}

func optionalDecimal(d *escrowgrid.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func minorUnits(a escrowgrid.Amount) string { return fmt.Sprint(int64(a)) }
