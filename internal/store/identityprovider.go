package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var providerTable = newTable("identity_providers", func(p *escrow.IdentityProvider) []column {
	return []column{
		key("institution_id", uuidColumn(&p.InstitutionID)),
		changing("issuer", textColumn(&p.Issuer)),
		changing("client_id", textColumn(&p.ClientID)),
		changing("has_secret", flagColumn(&p.HasSecret)),
		changing("secret_number", bigintColumn(&p.SecretNumber)),
		changing("audience", optionalTextColumn(&p.Audience)),
		changing("claims", jsonColumn(&p.Claims)),
		changing("role_by_group", optionalJSONColumn(&p.RoleByGroup, func() bool { return len(p.RoleByGroup) == 0 })),
		changing("version", bigintColumn(&p.Version)),
		changing("created_at", timeColumn(&p.CreatedAt)),
		changing("updated_at", timeColumn(&p.UpdatedAt)),
		changing("removed_at", optionalTimeColumn(&p.RemovedAt)),
	}
})

// An institution has one provider at most.
var providerRows = newRows(rowsOf[escrow.InstitutionID, escrow.IdentityProvider, escrow.IdentityProvider]{
	table: providerTable,
	in:    func(b *escrow.Books) *escrow.Rows[escrow.InstitutionID, escrow.IdentityProvider] { return &b.Providers },
	key:   func(p escrow.IdentityProvider) escrow.InstitutionID { return p.InstitutionID },
	pack:  asIs[escrow.IdentityProvider],
	unpack: func(p escrow.IdentityProvider) (escrow.InstitutionID, escrow.IdentityProvider) {
		return p.InstitutionID, p
	},
	whole:  func(n *escrow.Needs) *bool { return &n.Provider },
	cached: remembersAll[escrow.IdentityProvider],
	subject: func(escrow.IdentityProvider) string {
		return escrow.ProviderSubject
	},
})

// IdentityProvider returns the identity provider of an institution, or CodeProviderNotFound where none is
// set.
func (s *Store) IdentityProvider(
	ctx context.Context, institution escrow.InstitutionID,
) (escrow.IdentityProvider, error) {
	providers, err := recallWhole(ctx, s, providerRows, institution)
	if err != nil {
		return escrow.IdentityProvider{}, err
	}
	if len(providers) == 0 || !providers[0].IsSet() {
		return escrow.IdentityProvider{}, escrow.NoProvider()
	}
	return providers[0], nil
}

// MaxSharedIssuer bounds the institutions that are looked for with one issuer.
const MaxSharedIssuer = 1000

// ProvidersOf returns the identity providers with an issuer of all institutions where it is set, in
// order of institution, at most MaxSharedIssuer: institutions can share one, each with a client of
// its own. Whoever asks shares one query at a time with all others, as in KeyByHash.
func (s *Store) ProvidersOf(ctx context.Context, issuer string) ([]escrow.IdentityProvider, error) {
	providers, _, err := s.issuers.read(ctx, issuer)
	return providers, Failure(err)
}

// providersOf returns the identity providers with some issuers.
func (s *Store) providersOf(ctx context.Context, issuers []string) (map[string][]escrow.IdentityProvider, error) {
	found := make(map[string][]escrow.IdentityProvider, len(issuers))
	for _, issuer := range issuers {
		args := []any{issuer, int64(MaxSharedIssuer)}
		providers, err := all(ctx, s.database, providersByIssuer, args, providerTable.scan)
		if err != nil {
			return nil, err
		}
		found[issuer] = providers
	}
	return found, nil
}

var providersByIssuer = "SELECT " + providerTable.list + " FROM identity_providers" +
	" WHERE issuer = $1 AND removed_at IS NULL ORDER BY institution_id LIMIT $2"
