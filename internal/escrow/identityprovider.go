package escrow

import (
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of an IdentityProvider.
const (
	// MaxMappedGroups bounds the groups that have a role. It is how many groups a token can name.
	MaxMappedGroups = 200
	// MaxGroupLength bounds the name of a group, in characters: it has room for a path in a
	// directory.
	MaxGroupLength = 512
	// MaxMappedBytes bounds the names of all groups that have a role together.
	MaxMappedBytes = 64 << 10
	// MaxClientSecretLength bounds a client's secret, in characters.
	MaxClientSecretLength = 1000
)

// IdentityProvider is whom an institution trusts to say who its people are, by OpenID Connect. There
// is one at most.
type IdentityProvider struct {
	InstitutionID InstitutionID
	// Issuer is the provider's URL, byte for byte as in its tokens.
	Issuer string
	// ClientID is the client that the platform is to the provider.
	ClientID string
	// HasSecret says that a secret of the client is kept; see ClientSecretName. SecretNumber grows
	// with each change of it.
	HasSecret    bool
	SecretNumber int64
	// Audience is whom access tokens must be for; empty, it is the client.
	Audience string
	Claims   ClaimNames
	// RoleByGroup is the role that the members of a group have. It is nil where no group has one.
	RoleByGroup map[string]RoleName
	Version     int64 // 1 when first set, one more with each change
	// CreatedAt is when the institution began to use the issuer: what the one before vouched for,
	// or the same one before it was removed, counts no more.
	CreatedAt time.Time
	UpdatedAt time.Time
	RemovedAt *time.Time // nil while it is set
}

// ClaimNames are the names of the claims that tell of a person. Empty, they are the usual ones:
// groups, name, email.
type ClaimNames struct {
	Groups string `json:"groups,omitempty"`
	Name   string `json:"name,omitempty"`
	Email  string `json:"email,omitempty"`
}

// Membership is what a user's token said: who issued it, and the groups that the user is in.
type Membership struct {
	Issuer string
	Groups []string
}

// IsSet reports whether there is a provider: the zero one is none, and one that was removed is kept as
// it last was.
func (p IdentityProvider) IsSet() bool { return p.Version > 0 && p.RemovedAt == nil }

// HasRoleFor reports whether one of some groups has a role.
func (p IdentityProvider) HasRoleFor(groups []string) bool {
	return slices.ContainsFunc(groups, func(group string) bool {
		_, ok := p.RoleByGroup[group]
		return ok
	})
}

// ProviderInput is what a client gives to set an identity provider; it is the whole of it.
type ProviderInput struct {
	Issuer   string
	ClientID string
	// ClientSecret is nil to keep the secret there is, as long as issuer and client stay the same:
	// what one issuer was told is never told to another. An empty one takes the secret away.
	ClientSecret *string
	Audience     *string
	Claims       ClaimsInput
	RoleByGroup  map[string]string
}

// ClaimsInput is what a client gives to name the claims of a provider; what is nil is the usual one.
type ClaimsInput struct {
	Groups, Name, Email *string
}

// SetIdentityProvider sets or replaces the identity provider of an institution. Who sets it must have
// all that its groups get. A secret that comes with it is sealed before the command is carried out;
// see Sealing.
type SetIdentityProvider struct {
	provider  IdentityProvider
	secret    *string
	sealed    SealedSecret
	ifVersion []int64
}

// NewSetIdentityProvider checks the input. The versions are those that the provider may have, with 0
// for none that was ever set; nil is any.
func NewSetIdentityProvider(in ProviderInput, ifVersion []int64) (SetIdentityProvider, Faults) {
	var faults Faults
	command := SetIdentityProvider{
		provider: IdentityProvider{
			Issuer:   faults.issuer(in.Issuer),
			ClientID: faults.text("clientId", in.ClientID),
			Audience: faults.optionalText("audience", in.Audience, MaxTextLength),
			Claims: ClaimNames{
				Groups: faults.optionalText("claims.groups", in.Claims.Groups, MaxTextLength),
				Name:   faults.optionalText("claims.name", in.Claims.Name, MaxTextLength),
				Email:  faults.optionalText("claims.email", in.Claims.Email, MaxTextLength),
			},
			RoleByGroup: faults.roleByGroup("roleByGroup", in.RoleByGroup),
		},
		secret:    in.ClientSecret,
		ifVersion: ifVersion,
	}

	if secret := in.ClientSecret; secret != nil {
		switch {
		case !utf8.ValidString(*secret) || strings.ContainsFunc(*secret, unicode.IsControl):
			faults.Add("clientSecret", "must be valid UTF-8 without control characters")
		case utf8.RuneCountInString(*secret) > MaxClientSecretLength:
			faults.Add("clientSecret", "must have at most %d characters", MaxClientSecretLength)
		}
	}
	return command, faults
}

// Needs implements Command.
func (SetIdentityProvider) Needs() Needs { return Needs{Provider: true, Roles: true, Secrets: true} }

// permission implements single.
func (SetIdentityProvider) permission() Permission { return PermissionIdentitySet }

// gives implements giving: who decides which groups there are, and who vouches for them, gives all
// that they get.
func (c SetIdentityProvider) gives(b *Books) (given Rights) {
	for _, name := range c.provider.RoleByGroup {
		given.Permissions |= permissionsOf(name, b.Roles.Get)
	}
	return given
}

func (c SetIdentityProvider) decide(b *Books, _ Request, s stamp) (event, *Error) {
	before, _ := b.Providers.Get(b.institutionID)
	if refusal := checkVersion(c.ifVersion, before.Version, "identity provider"); refusal != nil {
		return nil, refusal
	}
	if refusal := c.checkRoles(b); refusal != nil {
		return nil, refusal
	}
	if _, _, unsealed := c.Secret(); unsealed {
		return nil, NoEncryptionKey()
	}

	after := c.provider
	after.HasSecret, after.SecretNumber = c.secretAfter(before)
	if before.trusts(after) && before.SecretNumber == after.SecretNumber {
		return unchanged{name: ProviderSubject, state: before}, nil
	}
	after.CreatedAt, after.Version = s.at, before.Version+1
	if before.IsSet() && before.Issuer == after.Issuer {
		after.CreatedAt = before.CreatedAt
	}
	return providerSet{newProviderState(after)}, nil
}

// checkRoles refuses a role that is nowhere.
func (c SetIdentityProvider) checkRoles(b *Books) *Error {
	var faults Faults
	for _, group := range slices.Sorted(maps.Keys(c.provider.RoleByGroup)) {
		name := c.provider.RoleByGroup[group]
		if _, known := b.Roles.Get(name); !known && !name.IsBuiltIn() {
			faults.Add("roleByGroup."+group, "must be one of %s, or a role of the institution",
				join(rolesOfGroups()))
		}
	}
	return faults.refusal()
}

// secretAfter tells whether there is a secret afterwards, and its number.
func (c SetIdentityProvider) secretAfter(before IdentityProvider) (has bool, number int64) {
	same := before.Issuer == c.provider.Issuer && before.ClientID == c.provider.ClientID
	switch {
	case c.secret == nil && (same || !before.HasSecret):
		return before.HasSecret, before.SecretNumber
	case c.secret != nil && *c.secret != "":
		return true, before.SecretNumber + 1
	case before.HasSecret:
		return false, before.SecretNumber + 1
	}
	return false, before.SecretNumber
}

// RemoveIdentityProvider removes the identity provider of an institution: its users can do nothing
// from then on, and their sessions have ended. The versions are those that it may have; nil is any.
type RemoveIdentityProvider struct{ IfVersion []int64 }

// Needs implements Command.
func (RemoveIdentityProvider) Needs() Needs { return Needs{Provider: true, Secrets: true} }

// permission implements single.
func (RemoveIdentityProvider) permission() Permission { return PermissionIdentitySet }

func (c RemoveIdentityProvider) decide(b *Books, _ Request, s stamp) (event, *Error) {
	provider, _ := b.Providers.Get(b.institutionID)
	if !provider.IsSet() {
		return nil, NoProvider()
	}
	if refusal := checkVersion(c.IfVersion, provider.Version, "identity provider"); refusal != nil {
		return nil, refusal
	}

	if provider.HasSecret {
		provider.HasSecret = false
		provider.SecretNumber++
	}
	provider.RemovedAt = &s.at
	provider.Version++
	return providerRemoved{newProviderState(provider)}, nil
}

// NoProvider makes the refusal where an institution has no identity provider.
func NoProvider() *Error {
	return Errorf(CodeProviderNotFound, "The institution has no identity provider.")
}

// issuer reads the URL of an identity provider.
func (f *Faults) issuer(text string) string {
	text = f.text("issuer", text)
	f.check("issuer", checkIssuer(text))
	return text
}

func checkIssuer(text string) error {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }) {
		return errors.New("must be a URL in visible ASCII characters")
	}

	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.Opaque != "":
		return errors.New("must be a URL, like https://login.example.com")
	case parsed.User != nil:
		return errors.New("must not have a user")
	case strings.ContainsAny(text, "?#"):
		return errors.New("must have no query and no fragment")
	case strings.HasSuffix(parsed.Path, "/.well-known/openid-configuration"):
		return errors.New("must be what tokens have in iss: the URL before /.well-known/openid-configuration")
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !isLoopback(parsed.Hostname())):
		return errors.New("must begin with https://; http:// is only for a provider on the same machine")
	}
	return nil
}

// isLoopback reports whether a host of a URL is the machine itself.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// roleByGroup reads which groups have which role.
func (f *Faults) roleByGroup(field string, in map[string]string) (roles map[string]RoleName) {
	if len(in) > MaxMappedGroups {
		f.Add(field, "must have at most %d groups", MaxMappedGroups)
		return nil
	}

	bytes := 0
	for _, group := range slices.Sorted(maps.Keys(in)) {
		place := field + "." + group
		bytes += len(group)
		switch {
		case group == "":
			f.Add(field, "must not name a group without a name")
		case !utf8.ValidString(group) || strings.ContainsFunc(group, unicode.IsControl):
			f.Add(field, "must not name groups with control characters")
		case utf8.RuneCountInString(group) > MaxGroupLength:
			f.Add(field, "must not name groups of more than %d characters", MaxGroupLength)
		case in[group] == string(RoleHolder):
			f.Add(place, "must not be %s, as nobody says whose positions it is for", RoleHolder)
		}

		if roles == nil {
			roles = make(map[string]RoleName, len(in))
		}
		roles[group] = f.roleName(place, in[group])
	}
	if bytes > MaxMappedBytes {
		f.Add(field, "must have at most %d bytes of names of groups", MaxMappedBytes)
	}
	return roles
}

// rolesOfGroups lists the built-in roles that groups can have.
func rolesOfGroups() []RoleName {
	return slices.DeleteFunc(builtInNames(), func(name RoleName) bool { return name == RoleHolder })
}
