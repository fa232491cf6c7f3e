package engine

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// maxCachedKeys bounds the keys whose records are kept in memory, about 300
// bytes each.
const maxCachedKeys = 10_000

// newCache returns an empty cache of so many.
//
// That of API keys is by the hash of their secret. Whose key a hash is of never changes, nor does what
// it was made for. What does, its expiry and revocation, may be older in the cache than in the database.
func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return cache
}

// Caller is who calls, with what they may do: a key or a user of an institution, one of the operator's
// people, or the root key.
type Caller struct {
	// Key is zero where no key of an institution calls, and User nil where no user does.
	Key  escrow.APIKey
	User *escrow.User
	// Operator is zero where none of the operator's people calls, whose role OperatorRole is. Root says
	// that the root key calls.
	Operator     escrow.OperatorID
	OperatorRole escrow.OperatorRole
	Root         bool
	// Provider is the identity provider that vouches for the user, and Membership what it said of a user or
	// one of the operator's people; both are empty for others.
	Provider   *escrow.IdentityProvider
	Membership escrow.Membership
	// Session is the one that the caller came with, nil without.
	Session *escrow.Session
	Rights  escrow.Rights
}

// Actor is the caller as requests name it. Those of a user take the Membership, too, and those of one of
// the operator's people the OperatorRole.
func (c *Caller) Actor() escrow.Actor {
	switch {
	case c.Root:
		return escrow.ActorRoot()
	case !c.Operator.IsZero():
		return escrow.ActorOperator(c.Operator)
	case c.User != nil:
		return escrow.ActorUser(c.User.ID)
	}
	return escrow.ActorKey(c.Key.ID)
}

// RootCaller is who calls with the root key.
func RootCaller() *Caller { return &Caller{Root: true, Rights: escrow.AllRights()} }

// OperatorCaller is one of the operator's people, whose provider has told some groups and who has a role.
func OperatorCaller(id escrow.OperatorID, said escrow.Membership, role escrow.OperatorRole) *Caller {
	return &Caller{Operator: id, OperatorRole: role, Membership: said, Rights: escrow.RightsOfOperator(role)}
}

// Institution is the one that the caller acts for; zero where that is the operator.
func (c *Caller) Institution() escrow.InstitutionID {
	if c.User != nil {
		return c.User.InstitutionID
	}
	return c.Key.InstitutionID
}

// Authenticate returns the record of the key with a secret, and what it may do. It is
// CodeInvalidKey when there is none, or it is revoked or expired.
//
// With mayBeOld the record may be one that has changed since. That
// is right for a command, which finds the key as it is under the lock of the
// journal; a query has nothing but this answer.
func (e *Engine) Authenticate(ctx context.Context, secret string, mayBeOld bool) (*Caller, error) {
	key, err := e.keyOf(ctx, secret, mayBeOld)
	if err != nil {
		return nil, err
	}

	rights, err := e.rightsOfKey(ctx, key)
	return &Caller{Key: key, Rights: rights}, err
}

// checkNow refuses a key or a user that may have had a permission when its request began, and does not
// have it now.
func (e *Engine) checkNow(ctx context.Context, request escrow.Request, permission escrow.Permission) error {
	rights, err := e.rightsNow(WithSnapshot(ctx), request)
	if err != nil {
		return err
	}
	return rights.Permissions.CheckPermission(permission)
}

// rightsNow returns what the actor of a request may do now, in the snapshot of the context.
func (e *Engine) rightsNow(ctx context.Context, request escrow.Request) (escrow.Rights, error) {
	actor := request.Actor
	switch {
	case actor.IsUser():
		return e.userRightsNow(ctx, request)
	case actor == escrow.ActorRoot(), actor == escrow.ActorSystem():
		return escrow.AllRights(), nil
	case actor.IsOperators():
		return escrow.RightsOfOperator(request.OperatorRole), nil
	}

	key, err := e.store.Key(ctx, request.Institution, actor.Key)
	if escrow.ErrorCode(err) == escrow.CodeKeyNotFound || err == nil && !key.Active(e.config.Now()) {
		return escrow.Rights{}, escrow.InvalidKey()
	}
	if err != nil {
		return escrow.Rights{}, err
	}
	return e.rightsOfKey(ctx, key)
}

// userRightsNow is rightsNow of a user.
func (e *Engine) userRightsNow(ctx context.Context, request escrow.Request) (escrow.Rights, error) {
	user, err := e.store.User(ctx, request.Institution, request.Actor.User)
	if escrow.ErrorCode(err) == escrow.CodeUserNotFound {
		return escrow.Rights{}, escrow.InvalidToken()
	}
	if err != nil {
		return escrow.Rights{}, err
	}

	provider, err := e.store.IdentityProvider(ctx, request.Institution)
	if escrow.ErrorCode(err) == escrow.CodeProviderNotFound {
		return escrow.Rights{}, escrow.UnknownIssuer()
	}
	if err != nil {
		return escrow.Rights{}, err
	}
	return e.rightsOfUser(ctx, user, request.Membership, provider)
}

// rightsOfKey returns what a key may do, by the roles as they are now.
func (e *Engine) rightsOfKey(ctx context.Context, key escrow.APIKey) (escrow.Rights, error) {
	roles := rolesOf{ctx: ctx, engine: e, institution: key.InstitutionID}
	rights := escrow.RightsOfKey(key, roles.find)
	return rights, roles.err
}

// rolesOf finds the roles that an institution has set, and keeps the first error.
type rolesOf struct {
	ctx         context.Context //nolint:containedctx // It is that of one call.
	engine      *Engine
	institution escrow.InstitutionID
	err         error
}

func (r *rolesOf) find(name escrow.RoleName) (role escrow.Role, known bool) {
	if r.err != nil {
		return role, false
	}
	role, err := r.engine.store.Role(r.ctx, r.institution, name)
	if err != nil && escrow.ErrorCode(err) != escrow.CodeRoleNotFound {
		r.err = err
	}
	return role, err == nil
}

// keyOf returns the record of the key with a secret; see Authenticate.
func (e *Engine) keyOf(ctx context.Context, secret string, mayBeOld bool) (escrow.APIKey, error) {
	hash := escrow.HashSecret(secret)
	key, known := e.keys.Get(hash)
	if !known && escrow.CheckSecret(secret) != nil {
		return escrow.APIKey{}, escrow.InvalidKey()
	}

	var err error
	switch {
	case !known:
		key, err = e.store.KeyByHash(ctx, hash)
	case !mayBeOld:
		cached := key
		key, err = e.store.Key(ctx, cached.InstitutionID, cached.ID)
		known = key.Version == cached.Version
	}
	if escrow.ErrorCode(err) == escrow.CodeKeyNotFound {
		return escrow.APIKey{}, escrow.InvalidKey()
	}
	if err != nil {
		return escrow.APIKey{}, err
	}

	if !known {
		e.keys.Add(hash, key)
	}
	if !key.Active(e.config.Now()) {
		return escrow.APIKey{}, escrow.InvalidKey()
	}
	return key, nil
}

// forgetKeys forgets keys that have changed, so that their next commands are refused at
// once. Where one is read at this time and kept in its old form, the commands are refused
// in their turn.
func (e *Engine) forgetKeys(changed []escrow.APIKey) {
	for _, key := range changed {
		e.keys.Remove(key.Hash)
	}
}
