package escrow

import "time"

// Rights is what an actor may do: which commands, and on what. From where and until when a key can
// be used is no part of that: a key of a narrow network, or of a day, makes others for elsewhere.
type Rights struct {
	Permissions PermissionSet
	Restriction Restriction
}

// AllRights is what the root key and the system may do.
func AllRights() Rights { return Rights{Permissions: allPermissions} }

// giving is a command that gives rights to others.
type giving interface {
	// gives returns what the command gives, and nothing where decide refuses it for another reason.
	gives(*Books) Rights
}

// checkGiving refuses a command with which an actor would give what it does not have.
func (b *Books) checkGiving(rights Rights, command Command) *Error {
	giver, ok := command.(giving)
	if !ok {
		return nil
	}

	given := giver.gives(b)
	if lacks := given.Permissions.Without(rights.Permissions); lacks != 0 {
		return Errorf(CodePermissionMissing,
			"Nobody gives what they do not have; this takes %s.", join(lacks.List()))
	}
	// No command of a restricted key comes here, as none that gives is confined; this is there for
	// the first that is.
	if !rights.Restriction.Contains(given.Restriction) {
		return restricted("Nobody gives what they do not have: what is given must be as restricted as who gives it.")
	}
	return nil
}

// RightsOfKey returns what a key may do. Roles are the institution's own; those that are built in
// need not be there, and one that is nowhere gives nothing.
func RightsOfKey(key APIKey, role func(RoleName) (Role, bool)) Rights {
	rights := Rights{Permissions: key.Permissions, Restriction: key.Restriction}
	if key.Role != "" {
		rights.Permissions = permissionsOf(key.Role, role)
	}
	return rights
}

// RightsOfUser returns what a user may do: what all roles together allow that the identity provider
// gives to the groups which the user is in. It refuses with InvalidToken a user who is suspended, and
// with UnknownIssuer one whom the provider does not vouch for; a user in no group with a role may do
// nothing. Roles are those of RightsOfKey.
func RightsOfUser(
	user User, of Membership, provider IdentityProvider, role func(RoleName) (Role, bool),
) (Rights, *Error) {
	switch {
	case !provider.IsSet() || provider.Issuer != of.Issuer || provider.Issuer != user.Issuer:
		return Rights{}, UnknownIssuer()
	case user.SuspendedAt != nil:
		return Rights{}, InvalidToken()
	}

	var rights Rights
	for _, group := range of.Groups {
		if name, ok := provider.RoleByGroup[group]; ok {
			rights.Permissions |= permissionsOf(name, role)
		}
	}
	return rights, nil
}

// permissionsOf returns what a role allows; see RightsOfKey.
func permissionsOf(name RoleName, role func(RoleName) (Role, bool)) PermissionSet {
	if builtIn, ok := name.builtIn(); ok {
		return builtIn.Permissions
	}
	if own, ok := role(name); ok {
		return own.Permissions
	}
	return 0
}

// rights returns what the actor of a request may do, judged by what its key, or the user and the
// provider, and the roles are now, under the lock of its institution's journal; or refuses an actor
// that is nobody.
func (b *Books) rights(r Request, at time.Time) (Rights, *Error) {
	actor := r.Actor
	switch actor.kind {
	case rootActor, systemActor:
		return AllRights(), nil
	case operatorActor:
		return RightsOfOperator(r.OperatorRole), nil
	case userActor:
		return b.rightsOfUser(r)
	case keyActor:
	}
	// An actor that was never set is nobody, not the operator.

	key, ok := b.Keys.Get(actor.Key)
	if !ok || !key.Active(at) {
		return Rights{}, InvalidKey()
	}
	return RightsOfKey(key, b.Roles.Get), nil
}

// rightsOfUser returns what the user may do who makes a request. One who is not known yet may join.
func (b *Books) rightsOfUser(r Request) (Rights, *Error) {
	provider, _ := b.Providers.Get(b.institutionID)
	if _, joins := r.Command.(JoinUser); joins && r.Actor.User.IsZero() {
		if !provider.IsSet() || provider.Issuer != r.Membership.Issuer {
			return Rights{}, UnknownIssuer()
		}
		return Rights{}, nil // Whether they may is for the command.
	}

	user, ok := b.Users.Get(r.Actor.User)
	if !ok {
		return Rights{}, InvalidToken()
	}
	return RightsOfUser(user, r.Membership, provider, b.Roles.Get)
}

// checkRights refuses a command that its actor may not give. Of a batch it looks at the permissions
// alone: which of the items are beyond a restriction is told of each by itself.
func (b *Books) checkRights(rights Rights, command Command) *Error {
	refusal := checkPermissions(rights.Permissions, command)
	if _, isBatch := command.(PositionBatch); refusal != nil || isBatch {
		return refusal
	}
	if refusal := b.checkRestriction(rights, command); refusal != nil {
		return refusal
	}
	return b.checkGiving(rights, command)
}

// checkPermissions refuses a command that takes a permission which its actor has not. A batch takes
// what each of its items takes.
func checkPermissions(has PermissionSet, command Command) *Error {
	switch c := command.(type) {
	case PositionBatch:
		for _, item := range c.items {
			if item.refusal == nil && !has.Has(item.command.permission()) {
				return missing(item.command.permission())
			}
		}
	case single:
		if takes := c.permission(); takes != "" && !has.Has(takes) {
			return missing(takes)
		}
	}
	return nil
}
