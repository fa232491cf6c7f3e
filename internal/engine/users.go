package engine

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const (
	// maxCachedUsers bounds the users whose ids are kept in memory by who they are, up to two
	// kilobytes each.
	maxCachedUsers = 10_000
	// maxCachedIssuers bounds the issuers whose institutions are kept in memory, and maxCachedSharers the
	// institutions of one: a provider can have 64 KiB of groups.
	maxCachedIssuers = 256
	maxCachedSharers = 16
	// updateInterval is how often a user is updated at most: of two tokens that are used in turn, each
	// can tell another name.
	updateInterval = time.Minute
)

// ownedIdentity is who somebody is to an institution. Which user that is never changes.
type ownedIdentity struct {
	institution escrow.InstitutionID
	escrow.Identity
}

// UserClaims are what a verified token says of its user.
type UserClaims struct {
	Issuer, Subject string
	// Name and Email are empty where the token does not tell them; then they stay as they are known.
	Name, Email string
	Groups      []string
}

func (c UserClaims) person() escrow.PersonInput {
	return escrow.PersonInput{Issuer: c.Issuer, Subject: c.Subject, Name: c.Name, Email: c.Email}
}

// ProvidersOf returns the identity providers with an issuer, of all institutions that use it, as a token
// names its issuer and not its institution. They may be old; AuthenticateUser finds out. Again asks the
// database in any case: that is for a token which is verified by none of what came first.
func (e *Engine) ProvidersOf(ctx context.Context, issuer string, again bool) ([]escrow.IdentityProvider, error) {
	if providers, known := e.issuers.Get(issuer); known && !again {
		return providers, nil
	}
	providers, err := e.store.ProvidersOf(ctx, issuer)
	if err != nil {
		return nil, err
	}

	e.issuers.Remove(issuer)
	if len(providers) > 0 && len(providers) <= maxCachedSharers {
		e.issuers.Add(issuer, providers)
	}
	return providers, nil
}

// forgetProviders forgets the identity providers that books have changed.
func (e *Engine) forgetProviders(b *escrow.Books) {
	if !b.Providers.Changed() {
		return
	}
	for _, issuer := range e.issuers.Keys() {
		providers, _ := e.issuers.Peek(issuer)
		for _, provider := range providers {
			if provider.InstitutionID == b.InstitutionID() {
				e.issuers.Remove(issuer)
			}
		}
	}
	for _, provider := range b.Providers.All() {
		e.issuers.Remove(provider.Issuer)
	}
}

// AuthenticateUser returns the user of a verified token, and what they may do. One who was not here before
// joins, under the id of the request; and a user whose name or e-mail address the token tells otherwise
// is updated, at most once a minute.
//
// The provider is the one that the token was verified with, as IdentityProvider or ProvidersOf have
// returned it. It is CodeTokenIssuerUnknown where the institution has none any more, or one that
// differs from it in anything: then the token is to be verified again with the one that there is, if
// any. It is CodeInvalidToken, 401 as for a revoked key, for a user who is suspended, and for claims
// that nobody can join with. Who was not here before and is in no group with a role is refused with
// CodePermissionMissing, and nothing is journaled; a user who joined before is answered with no
// permissions. Other errors are those of Do.
//
// The answer is as new as the call: it holds for queries, and commands are judged again under the lock
// of the journal, by the Membership in the request.
func (e *Engine) AuthenticateUser(
	ctx context.Context, provider escrow.IdentityProvider, requestID string, claims UserClaims,
) (*Caller, error) {
	of := provider.InstitutionID
	current, err := e.store.IdentityProvider(ctx, of)
	switch {
	case escrow.ErrorCode(err) == escrow.CodeProviderNotFound:
		return nil, escrow.UnknownIssuer()
	case err != nil:
		return nil, err
	case current.Version != provider.Version || current.Issuer != claims.Issuer:
		return nil, escrow.UnknownIssuer()
	}

	membership := escrow.Membership{Issuer: claims.Issuer, Groups: claims.Groups}
	request := escrow.Request{
		Institution: of,
		RequestID:   requestID,
		Membership:  membership,
	}
	user, err := e.userOf(ctx, claims, current, request)
	if err != nil {
		return nil, err
	}

	rights, err := e.rightsOfUser(ctx, user, membership, current)
	if err != nil {
		return nil, err
	}
	user, err = e.updated(ctx, user, claims, request)
	return &Caller{User: &user, Provider: &current, Membership: membership, Rights: rights}, err
}

// userOf returns the user who somebody is, who joins with a request where there is none and one of the
// groups has a role.
func (e *Engine) userOf(
	ctx context.Context, claims UserClaims, provider escrow.IdentityProvider, join escrow.Request,
) (escrow.User, error) {
	identity := escrow.Identity{Issuer: claims.Issuer, Subject: claims.Subject}
	who := ownedIdentity{join.Institution, identity}
	if id, known := e.users.Get(who); known {
		user, err := e.store.User(ctx, join.Institution, id)
		if escrow.ErrorCode(err) != escrow.CodeUserNotFound {
			return user, err
		}
		e.users.Remove(who) // The journal has lost them.
	}

	command, faults := escrow.NewJoinUser(claims.person())
	if len(faults) > 0 {
		return escrow.User{}, escrow.InvalidToken()
	}
	user, found, err := e.store.UserByIdentity(ctx, join.Institution, identity)
	if err == nil && !found && !provider.HasRoleFor(join.Membership.Groups) {
		err = escrow.NoGroupWithRole(join.Membership.Groups) // The command would say the same, and wait for it.
	}
	if err == nil && !found {
		join.Actor, join.Command = escrow.ActorUser(escrow.UserID{}), command
		var answer Answer
		answer, err = e.Do(ctx, join)
		user, _ = answer.Resource.(escrow.User)
	}
	if err != nil {
		return escrow.User{}, err
	}
	e.users.Add(who, user.ID)
	return user, nil
}

// rightsOfUser returns what a user may do, by the roles as they are now.
func (e *Engine) rightsOfUser(
	ctx context.Context, user escrow.User, of escrow.Membership, provider escrow.IdentityProvider,
) (escrow.Rights, error) {
	roles := rolesOf{ctx: ctx, engine: e, institution: user.InstitutionID}
	rights, refusal := escrow.RightsOfUser(user, of, provider, roles.find)
	if refusal != nil {
		return escrow.Rights{}, refusal
	}
	return rights, roles.err
}

// updated returns a user with what their token says. Where that cannot be noted, as in an institution that
// was closed, they are who they were.
func (e *Engine) updated(
	ctx context.Context, user escrow.User, claims UserClaims, update escrow.Request,
) (escrow.User, error) {
	if claims.Name == user.DisplayName && claims.Email == user.Email {
		return user, nil
	}
	command := escrow.NewUpdateUser(claims.person())
	if !command.Changes(user) || e.config.Now().Sub(user.UpdatedAt) < updateInterval {
		return user, nil
	}

	update.Actor, update.Command = escrow.ActorUser(user.ID), command
	answer, err := e.Do(ctx, update)
	if code := escrow.ErrorCode(err); code == escrow.CodeInvalidToken || code == escrow.CodeTokenIssuerUnknown {
		return escrow.User{}, err
	}
	if after, ok := answer.Resource.(escrow.User); ok {
		user = after
	}
	return user, nil
}
