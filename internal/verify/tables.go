package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// The tables of state, in the columns that they have. Amounts are in minor units there.

func institutionRows(s *store.Store, of escrow.InstitutionID) table[escrow.Institution] {
	return table[escrow.Institution]{
		name: "institutions",
		page: func(ctx context.Context, _ escrow.PageRequest) (page escrow.Page[escrow.Institution], err error) {
			institution, found, err := s.Institution(ctx, of)
			if found {
				page.Items = append(page.Items, institution)
			}
			return page, err
		},
		subject: func(i escrow.Institution) string { return i.ID.String() },
		fields: func(i escrow.Institution) []field {
			return []field{
				{"name", i.Name}, {"regions", list(i.Regions)}, {"verticals", list(i.Verticals)}, {"created_at", escrow.FormatTime(i.CreatedAt)},
			}
		},
		rebuild: resource[escrow.Institution],
	}
}

// keyRows takes the rotations up to the entry of a sequence, by the key replaced.
func keyRows(
	s *store.Store, of escrow.InstitutionID, known int64, rotations map[escrow.KeyID]escrow.Entry,
) table[escrow.APIKey] {
	return table[escrow.APIKey]{
		name: "api_keys",
		page: func(ctx context.Context, page escrow.PageRequest) (escrow.Page[escrow.APIKey], error) {
			return s.Keys(ctx, of, escrow.KeyFilter{IncludeRevoked: true}, page)
		},
		cursor:  func(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) },
		subject: func(k escrow.APIKey) string { return k.ID.String() },
		fields: func(k escrow.APIKey) []field {
			return []field{
				{"label", k.Label},
				{"role", string(k.Role)},
				{"hash", k.Hash.String()},
				{"created_at", escrow.FormatTime(k.CreatedAt)},
				{"expires_at", optionalTime(k.ExpiresAt)},
				{"revoked_at", optionalTime(k.RevokedAt)},
			}
		},
		rebuild: func(k escrow.APIKey, history []escrow.Entry) (escrow.APIKey, error) {
			return escrow.KeyAfter(k.ID, history)
		},
		others: func(ctx context.Context, rows []escrow.APIKey, histories map[string][]escrow.Entry) error {
			later, err := rotationsAfter(ctx, s, of, known)
			if err != nil {
				return err
			}
			for _, key := range rows {
				for _, rotations := range []map[escrow.KeyID]escrow.Entry{rotations, later} {
					if rotation, ok := rotations[key.ID]; ok {
						histories[key.ID.String()] = append(histories[key.ID.String()], rotation)
					}
				}
				slices.SortFunc(histories[key.ID.String()], func(a, b escrow.Entry) int { return int(a.Sequence - b.Sequence) })
			}
			return nil
		},
	}
}

// rotationsAfter reads the entries after one that put an API key in the place of another,
// by the key replaced.
func rotationsAfter(
	ctx context.Context, s *store.Store, of escrow.InstitutionID, after int64,
) (map[escrow.KeyID]escrow.Entry, error) {
	rotations := make(map[escrow.KeyID]escrow.Entry)
	page := escrow.PageRequest{Limit: escrow.MaxPageSize, After: new(escrow.SequenceCursor(after))}
	for {
		entries, err := s.Entries(ctx, of, escrow.EntryFilter{Kind: escrow.KindKeyRotated}, page)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries.Items {
			if replaced, ok := entry.ReplacedKey(); ok {
				rotations[replaced] = entry
			}
			page.After = new(escrow.SequenceCursor(entry.Sequence))
		}
		if !entries.More {
			return rotations, nil
		}
	}
}

func policyRows(s *store.Store, of escrow.InstitutionID) table[escrow.Policy] {
	return table[escrow.Policy]{
		name: "policies",
		page: func(ctx context.Context, _ escrow.PageRequest) (escrow.Page[escrow.Policy], error) {
			policies, err := s.Policies(ctx, of)
			return escrow.Page[escrow.Policy]{Items: policies}, err
		},
		subject: func(p escrow.Policy) string { return escrow.PolicySubject(p.Region) },
		fields: func(p escrow.Policy) []field {
			return []field{
				{"min_amount", optionalDecimal(p.MinAmount)},
				{"max_amount", optionalDecimal(p.MaxAmount)},
				{"allowed_currencies", list(p.AllowedCurrencies)},
				{"created_at", escrow.FormatTime(p.CreatedAt)},
				{"updated_at", escrow.FormatTime(p.UpdatedAt)},
			}
		},
		rebuild: resource[escrow.Policy],
	}
}

func templateRows(s *store.Store, of escrow.InstitutionID) table[escrow.AssetTemplate] {
	return table[escrow.AssetTemplate]{
		name: "asset_templates",
		page: func(ctx context.Context, page escrow.PageRequest) (escrow.Page[escrow.AssetTemplate], error) {
			return s.Templates(ctx, of, escrow.Period{}, page)
		},
		cursor:  func(t escrow.AssetTemplate) escrow.Cursor { return escrow.IDCursor(t.ID) },
		subject: func(t escrow.AssetTemplate) string { return t.ID.String() },
		fields: func(t escrow.AssetTemplate) []field {
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
				{"created_at", escrow.FormatTime(t.CreatedAt)},
			}
		},
		rebuild: resource[escrow.AssetTemplate],
	}
}

func assetRows(s *store.Store, of escrow.InstitutionID) table[escrow.Asset] {
	return table[escrow.Asset]{
		name: "assets",
		page: func(ctx context.Context, page escrow.PageRequest) (escrow.Page[escrow.Asset], error) {
			return s.Assets(ctx, of, escrow.AssetFilter{}, page)
		},
		cursor:  func(a escrow.Asset) escrow.Cursor { return escrow.IDCursor(a.ID) },
		subject: func(a escrow.Asset) string { return a.ID.String() },
		fields: func(a escrow.Asset) []field {
			return []field{
				{"template_id", a.TemplateID.String()},
				{"label", a.Label},
				{"metadata", string(a.Metadata)},
				{"created_at", escrow.FormatTime(a.CreatedAt)},
			}
		},
		rebuild: resource[escrow.Asset],
	}
}

// positionRows reads positions from anywhere.
func positionRows(
	page func(context.Context, escrow.PageRequest) (escrow.Page[escrow.Position], error),
) table[escrow.Position] {
	return table[escrow.Position]{
		name: "positions", page: page,
		cursor:  func(p escrow.Position) escrow.Cursor { return escrow.IDCursor(p.ID) },
		subject: func(p escrow.Position) string { return p.ID.String() },
		fields: func(p escrow.Position) []field {
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
				{"created_at", escrow.FormatTime(p.CreatedAt)},
				{"updated_at", escrow.FormatTime(p.UpdatedAt)},
			}
		},
		rebuild: resource[escrow.Position],
		version: func(p escrow.Position) int64 { return p.Version },
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
	return escrow.FormatTime(*at)
}

func optionalDecimal(d *money.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func minorUnits(a money.Amount) string { return fmt.Sprint(int64(a)) }
