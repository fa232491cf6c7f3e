package httpapi

import (
	"cmp"
	"errors"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// institutionHeader names the institution that a token is for, where several could be meant.
const institutionHeader = "X-Institution-Id"

// authenticateToken finds out whose token it is.
func (s *server) authenticateToken(c *call, raw string) error {
	err := s.identify(c, raw)
	// Whoever is nobody here has no rate of their own.
	nobody := []escrow.Code{escrow.CodeInvalidToken, escrow.CodeTokenIssuerUnknown, escrow.CodePermissionMissing}
	if slices.Contains(nobody, escrow.ErrorCode(err)) {
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	return err
}

// identify notes whose token it is: one of the operator's people, or one of an institution's.
//
// Which institution that is follows from the token's issuer and audience. Nobody can keep an
// institution from naming the issuer and the client of another, so where several have the same the
// caller says which one is meant: nobody's people act for another by accident.
func (s *server) identify(c *call, raw string) error {
	if s.config.Identity == nil {
		return unknownIssuer()
	}
	claimed, ok := s.config.Identity.Claimed(raw)
	switch issuer := claimed.Issuer; {
	case !ok:
		return escrow.Errorf(escrow.CodeInvalidToken, "The token names no issuer, or cannot be read.")
	case len(issuer) > escrow.MaxTextLength || !visibleASCII(issuer):
		// Nobody can have set it, and the database may not take the text.
		return unknownIssuer()
	}

	named := c.request.Header.Values(institutionHeader)
	t := token{raw: raw, Claimed: claimed, named: named}
	operators := s.config.Operators
	isOperators := operators != nil && t.isFor(operators.Provider)
	if isOperators && len(named) == 0 {
		return s.identifyOperator(c, t)
	}

	// What is known of providers can be old: a token that none of them takes is for the next.
	known, err := s.identifyUser(c, t, isOperators, false)
	switch code := escrow.ErrorCode(err); {
	case errors.Is(err, identity.ErrExpired):
	case code == escrow.CodeTokenIssuerUnknown, code == escrow.CodeInvalidToken:
		known, err = s.identifyUser(c, t, isOperators, true)
	}
	if err != nil {
		return err
	}
	c.caller = callerOf(known, credential{wayToken, raw})
	return nil
}

// token is a token with what it claims, which must be verified.
type token struct {
	raw string
	identity.Claimed
	// named is the institution that the request names beside, once at most.
	named []string
}

// isFor reports whether the token claims to be from a provider, for its client or audience.
func (t token) isFor(p identity.Provider) bool {
	return t.Issuer == p.Issuer && slices.Contains(t.Audiences, cmp.Or(p.Audience, p.ClientID))
}

// identifyUser returns the user of an institution who has a token. Operators says that the provider of
// the operator's people could be meant as well. Again asks the database for the providers.
func (s *server) identifyUser(c *call, t token, operators, again bool) (*engine.Caller, error) {
	all, err := s.engine.ProvidersOf(c.context(), t.Issuer, again)
	if err != nil {
		return nil, err
	}
	provider, meant, could := t.choose(all)
	if meant == 0 {
		return nil, unknownIssuer()
	}

	isShared := operators || could > 1
	claims, err := s.verify(c, providerOf(provider), t.raw)
	switch {
	case err != nil:
		return nil, err
	case meant > 1:
		return nil, escrow.Errorf(escrow.CodeTokenIssuerUnknown,
			"Several institutions take tokens of this issuer and audience: name yours in %s.", institutionHeader)
	case isShared && !provider.HasRoleFor(claims.Groups):
		return nil, unknownIssuer()
	}
	return s.engine.AuthenticateUser(c.context(), provider, c.requestID, userClaims(claims))
}

// choose finds the provider that a token is for: the first of those that could be meant, how many those are,
// and how many there would be if the request named no institution.
func (t token) choose(all []escrow.IdentityProvider) (first escrow.IdentityProvider, meant, could int) {
	for i := range all {
		if !t.isFor(providerOf(all[i])) {
			continue
		}
		could++
		if len(t.named) > 0 && (len(t.named) > 1 || all[i].InstitutionID.String() != t.named[0]) {
			continue
		}
		if meant == 0 {
			first = all[i]
		}
		meant++
	}
	return first, meant, could
}

// identifyOperator notes which of the operator's people has a token.
func (s *server) identifyOperator(c *call, t token) error {
	claims, err := s.verify(c, s.config.Operators.Provider, t.raw)
	if err != nil {
		return err
	}
	known, err := s.operatorCaller(claims)
	if err != nil {
		return err
	}
	c.caller = callerOf(known, credential{wayToken, t.raw})
	return nil
}

// verify verifies a token.
func (s *server) verify(c *call, p identity.Provider, raw string) (identity.Claims, error) {
	claims, err := s.config.Identity.Verify(c.context(), p, raw)
	return claims, identityRefusal(p, err)
}

// identityRefusal is the refusal for an error of identity, which is wrapped in it. It tells what is wrong with
// a token, which only who has a token that a provider has signed learns more of than that its signature is
// wrong; and where a provider is asked, but not why that fails: the log has that.
func identityRefusal(p identity.Provider, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrExpired):
		return escrow.Wrap(escrow.CodeInvalidToken, err, "The token has expired, "+identity.Reason(err)+".")
	case errors.Is(err, identity.ErrInvalid):
		return escrow.Wrap(escrow.CodeInvalidToken, err, "The token is not valid here: "+identity.Reason(err)+".")
	case errors.Is(err, identity.ErrUnavailable):
		return escrow.Wrap(codeProviderUnavailable, err, "The identity provider cannot be asked now: "+
			identity.DiscoveryURL(p.Issuer)+" does not answer the server, or is not of that very issuer.")
	}
	return err
}

func unknownIssuer() error {
	return escrow.Errorf(escrow.CodeTokenIssuerUnknown,
		"No institution takes tokens of this issuer and audience, or not the one that %s names.", institutionHeader)
}

// providerOf is the provider of an institution as tokens are verified with it.
func providerOf(p escrow.IdentityProvider) identity.Provider {
	return identity.Provider{
		Issuer:   p.Issuer,
		ClientID: p.ClientID,
		Audience: p.Audience,
		Claims:   identity.ClaimNames(p.Claims),
	}
}

// userClaims is what the engine takes of a verified token.
func userClaims(claims identity.Claims) engine.UserClaims {
	return engine.UserClaims{
		Issuer: claims.Issuer, Subject: claims.Subject, Name: claims.Name, Email: claims.Email, Groups: claims.Groups,
	}
}
