package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// loginLifetime bounds how long a person may take to log in at the provider.
const loginLifetime = 10 * time.Minute

// Login is a login with a browser that has begun. Whoever has it can finish it with the person's
// code, so it must be kept where only this server can read it, bound to the browser, and be used
// once.
type Login struct {
	// AuthURL is where the browser must go. It is not needed any more once it has gone there.
	AuthURL string `json:"-"`
	// State comes back with the browser; Nonce, in the ID token. CodeVerifier proves that whoever
	// exchanges the code has begun the login.
	State        string `json:"state"`
	Nonce        string `json:"nonce"`
	CodeVerifier string `json:"codeVerifier"`

	Issuer      string    `json:"issuer"`
	ClientID    string    `json:"clientId"`
	RedirectURI string    `json:"redirectUri"`
	ExpiresAt   time.Time `json:"expiresAt"`
}

// Callback is what a browser brings back from a provider: the parameters of the query.
type Callback struct {
	State, Code string
	// Issuer is iss, by RFC 9207.
	Issuer string
	// Error is the provider's code for why there is no code.
	Error string
}

// Begin begins a login: authorization code, PKCE with S256, state and nonce. The provider sends
// the browser back to the redirect URI, which it must know. The error is ErrUnavailable.
func (v *Verifier) Begin(ctx context.Context, p Provider, redirectURI string) (Login, error) {
	known, err := v.usable(ctx, v.source(p.Issuer))
	if err != nil {
		return Login{}, err
	}
	client, err := known.client(p, redirectURI)
	if err != nil {
		return Login{}, err
	}

	login := Login{
		State:        secret(),
		Nonce:        secret(),
		CodeVerifier: oauth2.GenerateVerifier(),
		Issuer:       p.Issuer,
		ClientID:     p.ClientID,
		RedirectURI:  redirectURI,
		ExpiresAt:    v.now().Add(loginLifetime).UTC(),
	}
	challenge := oauth2.S256ChallengeOption(login.CodeVerifier)
	login.AuthURL = client.AuthCodeURL(login.State, oidc.Nonce(login.Nonce), challenge)
	return login, nil
}

// secret returns 256 random bits in base64url.
func secret() string {
	bits := make([]byte, 32)
	_, _ = rand.Read(bits) // It never fails.
	return base64.RawURLEncoding.EncodeToString(bits)
}

// client returns the provider's client for logins.
func (d *document) client(p Provider, redirectURI string) (*oauth2.Config, error) {
	if d.metadata.Authorization == "" || d.metadata.Token == "" {
		return nil, unavailable(errors.New("it names no authorization_endpoint or no token_endpoint"))
	}
	style, err := d.metadata.authStyle(p.ClientSecret)
	if err != nil {
		return nil, err
	}
	return &oauth2.Config{
		ClientID:     p.ClientID,
		ClientSecret: p.ClientSecret,
		Endpoint:     oauth2.Endpoint{AuthURL: d.metadata.Authorization, TokenURL: d.metadata.Token, AuthStyle: style},
		RedirectURL:  redirectURI,
		Scopes:       d.metadata.scopes(),
	}, nil
}

// authStyle says how the client names itself to the provider: without a secret by its id alone;
// else as the provider has it, in the header if it leaves the choice.
func (m metadata) authStyle(clientSecret string) (oauth2.AuthStyle, error) {
	switch {
	case clientSecret == "":
		return oauth2.AuthStyleInParams, nil
	case len(m.AuthMethods) == 0 || slices.Contains(m.AuthMethods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(m.AuthMethods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	default:
		return 0, unavailable(errors.New("it takes no client secret"))
	}
}

// scopes are those that claims about a person come with, as far as the provider has them. The
// groups of some come with a scope that OpenID Connect does not know.
func (m metadata) scopes() []string {
	scopes := []string{oidc.ScopeOpenID}
	for _, scope := range []string{oidc.ScopeProfile, oidc.ScopeEmail} {
		if len(m.Scopes) == 0 || slices.Contains(m.Scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if slices.Contains(m.Scopes, "groups") {
		scopes = append(scopes, "groups")
	}
	return scopes
}

// Finish finishes a login with what the browser brought back, and returns who has logged in. The
// caller must have forgotten the login before, so that it is finished once. The error is
// ErrLogin, ErrRefused, ErrInvalid, ErrExpired or ErrUnavailable.
func (v *Verifier) Finish(ctx context.Context, p Provider, login Login, back Callback) (Claims, error) {
	known, err := v.usable(ctx, v.source(p.Issuer))
	if err != nil {
		return Claims{}, err
	}
	if err := v.check(p, login, back, known.metadata.NamesIssuer); err != nil {
		return Claims{}, err
	}

	client, err := known.client(p, login.RedirectURI)
	if err != nil {
		return Claims{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, v.client), fetchTimeout)
	defer cancel()
	tokens, err := client.Exchange(ctx, back.Code, oauth2.VerifierOption(login.CodeVerifier))
	if err != nil {
		return Claims{}, exchangeError(err)
	}

	claims, token, err := v.verifyLogin(ctx, p, login, tokens)
	if err != nil {
		return Claims{}, err
	}
	if err := known.complete(ctx, p, token, tokens, &claims); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// check checks that what the browser brought back belongs to a login at a provider.
func (v *Verifier) check(p Provider, login Login, back Callback, namesIssuer bool) error {
	switch {
	case login.State == "" || login.Nonce == "" || login.CodeVerifier == "":
		return because(ErrLogin, "it has not begun")
	case subtle.ConstantTimeCompare([]byte(login.State), []byte(back.State)) != 1:
		return because(ErrLogin, "its state is another's")
	case login.Issuer != p.Issuer || login.ClientID != p.ClientID:
		return because(ErrLogin, "it was begun at another provider, or as another client")
	case !v.now().Before(login.ExpiresAt):
		return because(ErrLogin, "it was begun too long ago")

	case back.Issuer != p.Issuer && (namesIssuer || back.Issuer != ""):
		return because(ErrLogin, "another issuer has answered, or none")
	case back.Error != "":
		return because(ErrRefused, excerpt(back.Error))
	case back.Code == "":
		return because(ErrLogin, "there is no code")
	default:
		return nil
	}
}

// exchangeError is the error of an exchange of a code for tokens. The body that the provider has
// answered with is not in it: it could repeat the code.
func exchangeError(err error) error {
	refusal, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return unavailable(fmt.Errorf("ask its token_endpoint: %w", err))
	}
	if refusal.ErrorCode == "" || refusal.Response.StatusCode >= 500 {
		return unavailable(errors.New("its token_endpoint answered with status " + refusal.Response.Status))
	}
	return because(ErrRefused, excerpt(refusal.ErrorCode))
}

// verifyLogin verifies the ID token that ends a login.
func (v *Verifier) verifyLogin(
	ctx context.Context, p Provider, login Login, tokens *oauth2.Token,
) (Claims, *oidc.IDToken, error) {
	rawToken, ok := tokens.Extra("id_token").(string)
	if !ok {
		return Claims{}, nil, invalid("there is no ID token")
	}
	claims, signed, err := v.verify(ctx, p, rawToken, forLogin)
	if err != nil {
		return Claims{}, nil, err
	}

	if subtle.ConstantTimeCompare([]byte(login.Nonce), []byte(signed.token.Nonce)) != 1 {
		return Claims{}, nil, invalid("it was made for another login")
	}
	if signed.token.AccessTokenHash != "" && signed.token.VerifyAccessToken(tokens.AccessToken) != nil {
		return Claims{}, nil, invalid("it was made for another access token")
	}
	return claims, signed.token, nil
}

// complete asks the provider for what its ID token leaves out: by the letter of OpenID Connect,
// name, e-mail address and the like are answered at the UserInfo endpoint alone.
func (d *document) complete(
	ctx context.Context, p Provider, token *oidc.IDToken, tokens *oauth2.Token, claims *Claims,
) error {
	names := p.Claims.withDefaults()
	var have members
	if err := readMembers(token, &have); err != nil {
		return err
	}
	missing := func(name string) bool { _, ok := have.at(name); return !ok }
	if d.metadata.Userinfo == "" || !missing(names.Groups) && !missing(names.Name) && !missing(names.Email) {
		return nil
	}

	answer, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return unavailable(errors.New("its userinfo_endpoint could not be asked, or made no sense"))
	}
	if answer.Subject != claims.Subject {
		return invalid("the userinfo_endpoint tells of somebody else")
	}
	var more members
	if err := readMembers(answer, &more); err != nil {
		return err
	}

	var about Claims
	if err := readAbout(more, p.Claims, &about); err != nil {
		return err
	}
	if missing(names.Groups) {
		claims.Groups = about.Groups
	}
	if missing(names.Name) {
		claims.Name = about.Name
	}
	if missing(names.Email) {
		claims.Email = about.Email
	}
	return nil
}

// readMembers reads the members of what a provider has answered.
func readMembers(from interface{ Claims(any) error }, into *members) error {
	var raw json.RawMessage
	if err := from.Claims(&raw); err != nil {
		return invalid("its claims are of the wrong form")
	}
	return unmarshalMembers(raw, into)
}
