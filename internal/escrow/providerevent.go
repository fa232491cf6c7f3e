package escrow

import (
	"errors"
	"maps"
	"slices"
)

// The kinds of entry that record what became of an identity provider.
const (
	KindProviderSet     Kind = "IDENTITY_PROVIDER_SET"
	KindProviderRemoved Kind = "IDENTITY_PROVIDER_REMOVED"
)

var providerEventKinds = []eventKind{
	{kind: KindProviderSet, decode: decodeEvent[providerSet]},
	{kind: KindProviderRemoved, decode: decodeEvent[providerRemoved]},
}

// ProviderSubject is how a journal names the identity provider of its institution.
const ProviderSubject = "identity-provider"

// providerState is an identity provider as its entries carry it: whole, so that each entry by itself
// tells what it was after it. Of the client's secret it tells that there is one, and which.
type providerState struct {
	Issuer       string              `json:"issuer"`
	ClientID     string              `json:"clientId"`
	HasSecret    bool                `json:"hasSecret"`
	SecretNumber int64               `json:"secretNumber"`
	Audience     string              `json:"audience,omitempty"`
	Claims       ClaimNames          `json:"claims"`
	RoleByGroup  map[string]RoleName `json:"roleByGroup,omitempty"`
	Version      int64               `json:"version"`
	CreatedAt    string              `json:"createdAt"`
	RemovedAt    *string             `json:"removedAt,omitempty"`
}

type (
	providerSet     struct{ providerState }
	providerRemoved struct{ providerState }
)

func newProviderState(p IdentityProvider) providerState {
	return providerState{
		Issuer:       p.Issuer,
		ClientID:     p.ClientID,
		HasSecret:    p.HasSecret,
		SecretNumber: p.SecretNumber,
		Audience:     p.Audience,
		Claims:       p.Claims,
		RoleByGroup:  p.RoleByGroup,
		Version:      p.Version,
		CreatedAt:    FormatTime(p.CreatedAt),
		RemovedAt:    formatOptionalTime(p.RemovedAt),
	}
}

func (providerSet) kind() Kind        { return KindProviderSet }
func (providerRemoved) kind() Kind    { return KindProviderRemoved }
func (providerState) subject() string { return ProviderSubject }

func (providerState) rewrites() Needs { return Needs{Provider: true} }

func (providerState) resource(b *Books, _ Entry) Resource {
	return b.Providers.mustGet(b.institutionID)
}

func (e providerSet) apply(b *Books, entry Entry) error {
	if e.RemovedAt != nil {
		return errors.New("an identity provider that is set was removed")
	}
	return e.providerState.apply(b, entry)
}

func (e providerRemoved) apply(b *Books, entry Entry) error {
	if e.RemovedAt == nil || e.HasSecret {
		return errors.New("an identity provider that is removed is still there, or has a secret")
	}
	return e.providerState.apply(b, entry)
}

// trusted is what the state says of whom is trusted, without the client's secret.
func (e providerState) trusted() IdentityProvider {
	return IdentityProvider{
		Issuer: e.Issuer, ClientID: e.ClientID, Audience: e.Audience, Claims: e.Claims, RoleByGroup: e.RoleByGroup,
	}
}

func (e providerState) apply(b *Books, entry Entry) error {
	var reader storedReader
	provider := IdentityProvider{
		InstitutionID: entry.InstitutionID,
		Issuer:        e.Issuer,
		ClientID:      e.ClientID,
		HasSecret:     e.HasSecret,
		SecretNumber:  e.SecretNumber,
		Audience:      e.Audience,
		Claims:        e.Claims,
		RoleByGroup:   e.RoleByGroup,
		Version:       e.Version,
		CreatedAt:     reader.time(e.CreatedAt),
		UpdatedAt:     entry.At,
		RemovedAt:     reader.optionalTime(e.RemovedAt),
	}
	if slices.Contains(slices.Collect(maps.Values(e.RoleByGroup)), RoleHolder) {
		reader.keep(errors.New("the role holder cannot be given to a group"))
	}

	if reader.err == nil {
		b.Providers.Put(entry.InstitutionID, provider)
	}
	return reader.err
}
