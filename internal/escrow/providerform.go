package escrow

import "maps"

// The written form of the command that sets an identity provider. Of the client's secret it tells that one comes
// with it: no journal has the secret itself, which waits beside it, sealed; see keepWaitingSecret. A secret alone never
// waits: it lets nobody in who was not let in before.

var providerFormTypes = []formType{{"identity_provider.set", decodeForm[providerForm]}}

type providerForm struct {
	typed

	Issuer      string              `json:"issuer"`
	ClientID    string              `json:"clientId"`
	SetsSecret  bool                `json:"setsSecret,omitzero"`
	DropsSecret bool                `json:"dropsSecret,omitzero"`
	Audience    string              `json:"audience,omitempty"`
	Claims      ClaimNames          `json:"claims"`
	RoleByGroup map[string]RoleName `json:"roleByGroup,omitempty"`
	IfVersion   []int64             `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c SetIdentityProvider) written() form {
	return providerForm{
		typed:       typed{"identity_provider.set"},
		Issuer:      c.provider.Issuer,
		ClientID:    c.provider.ClientID,
		SetsSecret:  c.setsSecret(),
		DropsSecret: c.secret != nil && *c.secret == "",
		Audience:    c.provider.Audience,
		Claims:      c.provider.Claims,
		RoleByGroup: c.provider.RoleByGroup,
		IfVersion:   c.ifVersion,
	}
}

// concerns implements approvable.
func (SetIdentityProvider) concerns() string { return ProviderSubject }

// facts implements factual. No rule is about what changes the client's secret alone.
func (c SetIdentityProvider) facts(b *Books) ruleFacts {
	if before, _ := b.Providers.Get(b.institutionID); before.trusts(c.provider) {
		return ruleFacts{}
	}
	return ruleFacts{permission: c.permission(), subject: ProviderSubject}
}

// trusts reports whether a provider is set, and like another one but for the client's secret.
func (p IdentityProvider) trusts(other IdentityProvider) bool {
	return p.IsSet() && p.Issuer == other.Issuer && p.ClientID == other.ClientID && p.Audience == other.Audience &&
		p.Claims == other.Claims && maps.Equal(p.RoleByGroup, other.RoleByGroup)
}

func (f providerForm) each(func(string, *private)) form { return f }

// command implements form. A secret that the command comes with is not sealed in it; see withWaitingSecret.
func (f providerForm) command() (Command, error) {
	in := ProviderInput{
		Issuer:   f.Issuer,
		ClientID: f.ClientID,
		Audience: givenText(f.Audience),
		Claims: ClaimsInput{
			Groups: givenText(f.Claims.Groups), Name: givenText(f.Claims.Name), Email: givenText(f.Claims.Email),
		},
		RoleByGroup: make(map[string]string, len(f.RoleByGroup)),
	}

	if f.DropsSecret {
		in.ClientSecret = new("")
	}
	for group, role := range f.RoleByGroup {
		in.RoleByGroup[group] = string(role)
	}
	command, faults := NewSetIdentityProvider(in, f.IfVersion)
	if f.SetsSecret {
		return made(command.WithSealed(nil, ""), faults)
	}
	return made(command, faults)
}
