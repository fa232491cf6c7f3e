package main

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// peopleFlags say how people come in, how the server reaches those who vouch for them, and what it
// encrypts secrets with.
type peopleFlags struct {
	EncryptionKey   string `env:"ENCRYPTION_KEY" secret:"" help:"What the secrets in the database are encrypted with, such as those of identity providers' clients: 64 hexadecimal digits, as openssl rand -hex 32 makes them. Several, separated by commas: the first encrypts, all of them decrypt; see escrowgrid rotate-secrets. On SQLite the first start makes one and keeps it beside the database; on PostgreSQL, without one no such secret can be kept."`
	LostSecrets     string `env:"ALLOW_LOST_SECRETS" name:"allow-lost-secrets" default:"false" help:"Whether to serve although encryption keys of secrets in the database are lost: true or false. Each such secret has to be set again."`
	AllowedNetworks string `env:"EGRESS_ALLOWED_NETWORKS" name:"egress-allowed-networks" help:"The networks that are not public and that the server may send requests to nevertheless, like 10.1.2.0/24: those of your own identity providers. None when left out. A proxy is taken from HTTPS_PROXY and NO_PROXY."`
	PublicURL       string `env:"PUBLIC_URL" name:"public-url" help:"Where browsers reach the server, like https://escrow.example.com: https, or http on a loopback address. Logins with a browser need it."`

	// The operator's own people. Without an issuer the root key is the only way in.
	OperatorIssuer   string `env:"OPERATOR_OIDC_ISSUER" name:"operator-oidc-issuer" help:"The issuer of the identity provider (OpenID Connect) that the operator's people come from, like https://login.example.com."`
	OperatorClientID string `env:"OPERATOR_OIDC_CLIENT_ID" name:"operator-oidc-client-id" help:"The client that the server is to that provider; required with OPERATOR_OIDC_ISSUER."`
	OperatorSecret   string `env:"OPERATOR_OIDC_CLIENT_SECRET" name:"operator-oidc-client-secret" secret:"" help:"The secret of the client at OPERATOR_OIDC_ISSUER, for logins with a browser; none for a public client."`
	OperatorAudience string `env:"OPERATOR_OIDC_AUDIENCE" name:"operator-oidc-audience" help:"Whom access tokens of the operator's people must be for. Default: the client."`
	OperatorRoles    string `env:"OPERATOR_OIDC_ROLE_BY_GROUP" name:"operator-oidc-role-by-group" placeholder:"JSON" help:"Which groups of that provider have which role, as a JSON object like {\"platform\": \"root\"}; the roles are root, which may do everything, and root_read_only. Required with OPERATOR_OIDC_ISSUER."`
	RootDisabled     string `env:"ROOT_API_KEY_DISABLED" name:"root-api-key-disabled" default:"false" help:"Whether the root key is refused: true or false. It takes OPERATOR_OIDC_ISSUER, as nobody could act for the operator otherwise."`
}

// peopleConfig is peopleFlags after parsing and checking.
type peopleConfig struct {
	// keyring is nil where no key was given; on SQLite a file beside the database has it then.
	keyring *vault.Keyring
	// allowLostSecrets serves although secrets cannot be decrypted.
	allowLostSecrets bool
	// allowedNetworks can be reached although they are not public.
	allowedNetworks []netip.Prefix
	// publicURL is the origin at which browsers reach the server; empty where they are not told.
	publicURL string
	// operators is where the operator's people come from; nil where only the root key does.
	operators    *httpapi.Operators
	rootDisabled bool
}

// activeRootKey is the root key, or empty where it is turned off.
func (c peopleConfig) activeRootKey(rootKey string) string {
	if c.rootDisabled {
		return ""
	}
	return rootKey
}

// people reads the flags. Others are keys and secrets that the encryption key must not be one of.
func (r *reader) people(f peopleFlags, others ...string) peopleConfig {
	config := peopleConfig{
		keyring:          r.keyring("ENCRYPTION_KEY", f.EncryptionKey, others),
		allowLostSecrets: r.yesNo("ALLOW_LOST_SECRETS", f.LostSecrets),
		allowedNetworks:  r.networks("EGRESS_ALLOWED_NETWORKS", f.AllowedNetworks),
		publicURL:        r.publicURL("PUBLIC_URL", f.PublicURL),
		operators:        r.operators(f),
		rootDisabled:     r.yesNo("ROOT_API_KEY_DISABLED", f.RootDisabled),
	}
	if config.rootDisabled && f.OperatorIssuer == "" && r.err == nil {
		r.err = wrongUsage("ROOT_API_KEY_DISABLED: takes OPERATOR_OIDC_ISSUER: " +
			"without the root key and without it, nobody could act for the operator")
	}
	return config
}

// keyring reads the encryption keys, each of which must be no other secret. No message holds them.
func (r *reader) keyring(variable, value string, others []string) *vault.Keyring {
	keys := r.list(variable, value)
	if len(keys) == 0 {
		return nil
	}

	for _, key := range keys {
		// Who has either of them must not have both.
		if slices.Contains(others, key) {
			r.wrong(variable, "(secret)", "a key that is no other secret, like ROOT_API_KEY, at the same time")
		}
	}
	keyring, err := vault.ParseKeyring(value)
	if err != nil {
		r.wrong(variable, "(secret)", "different keys of 64 hexadecimal digits, separated by commas: "+err.Error())
	}
	return keyring
}

// publicURL reads the origin at which browsers reach the server; it may end with a slash.
func (r *reader) publicURL(variable, value string) string {
	if value == "" {
		return ""
	}

	parsed, err := url.Parse(value)
	origin := strings.TrimSuffix(value, "/")
	if err != nil || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host || !isGuarded(parsed) {
		r.wrong(variable, value, "an origin like https://escrow.example.com; http is for loopback addresses alone")
	}
	// Browsers write origins in lower case, and without the usual port.
	origin = strings.ToLower(origin)
	for scheme, port := range map[string]string{"https://": ":443", "http://": ":80"} {
		if strings.HasPrefix(origin, scheme) {
			origin = strings.TrimSuffix(origin, port)
		}
	}
	return origin
}

// isGuarded reports whether nobody on the way can read or change what goes to a URL.
func isGuarded(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && apiclient.IsLoopback(u.Hostname())
}

// operators reads where the operator's people come from; nil where that is nowhere.
func (r *reader) operators(f peopleFlags) *httpapi.Operators {
	if f.OperatorIssuer == "" {
		for variable, value := range map[string]string{
			"OPERATOR_OIDC_CLIENT_ID": f.OperatorClientID, "OPERATOR_OIDC_CLIENT_SECRET": f.OperatorSecret,
			"OPERATOR_OIDC_AUDIENCE": f.OperatorAudience, "OPERATOR_OIDC_ROLE_BY_GROUP": f.OperatorRoles,
		} {
			if value != "" && r.err == nil {
				r.err = wrongUsage("%s: takes OPERATOR_OIDC_ISSUER as well", variable)
			}
		}
		return nil
	}

	parsed, err := url.Parse(f.OperatorIssuer)
	if err != nil || parsed.Host == "" || parsed.User != nil || !isGuarded(parsed) ||
		strings.ContainsAny(f.OperatorIssuer, "?# ") {
		r.wrong("OPERATOR_OIDC_ISSUER", f.OperatorIssuer,
			"a URL like https://login.example.com, without query and fragment; http is for loopback addresses alone")
	}
	if f.OperatorClientID == "" && r.err == nil {
		r.err = wrongUsage("OPERATOR_OIDC_CLIENT_ID: is required with OPERATOR_OIDC_ISSUER")
	}
	return &httpapi.Operators{
		Provider: identity.Provider{
			Issuer:       f.OperatorIssuer,
			ClientID:     f.OperatorClientID,
			ClientSecret: f.OperatorSecret,
			Audience:     f.OperatorAudience,
		},
		RoleByGroup: r.operatorRoles("OPERATOR_OIDC_ROLE_BY_GROUP", f.OperatorRoles),
	}
}

// operatorRoles reads which groups have which role: at least one, or nobody could come in.
func (r *reader) operatorRoles(variable, value string) map[string]escrow.OperatorRole {
	// Of a name that is there twice, one would count, and nobody sees which.
	var roles map[string]escrow.OperatorRole
	if err := jsonv2.Unmarshal([]byte(value), &roles); err != nil || len(roles) == 0 {
		r.wrong(variable, value, `a JSON object of roles by group, like {"platform": "root"}`)
		return nil
	}
	for _, group := range slices.Sorted(maps.Keys(roles)) {
		if !slices.Contains(escrow.OperatorRoles(), roles[group]) {
			r.wrong(variable, string(roles[group]), fmt.Sprintf("one of the roles %s and %s for each group",
				escrow.OperatorRoleRoot, escrow.OperatorRoleReadOnly))
		}
	}
	return roles
}
