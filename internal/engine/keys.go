package engine

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// maxCachedKeys bounds the keys whose records are kept in memory, about 300
// bytes each.
const maxCachedKeys = 10_000

// newKeyCache returns an empty cache of API keys by the hash of their secret. Whose key a
// hash is of never changes, nor does what it was made for. What does, its expiry and revocation,
// may be older in the cache than in the database.
func newKeyCache() *lru.Cache[escrow.SecretHash, escrow.APIKey] {
	keys, err := lru.New[escrow.SecretHash, escrow.APIKey](maxCachedKeys)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return keys
}

// Caller is a key with what it may do.
type Caller struct {
	Key    escrow.APIKey
	Rights escrow.Rights
}

// Authenticate returns the record of the key with a secret, and what it may do. It is
// CodeInvalidKey when there is none, or it is revoked or expired.
//
// With mayBeOld the record may be one that has changed since. That
// is right for a command, which finds the key as it is under the lock of the
// journal; a query has nothing but this answer.
func (e *Engine) Authenticate(ctx context.Context, secret string, mayBeOld bool) (Caller, error) {
	key, err := e.keyOf(ctx, secret, mayBeOld)
	if err != nil {
		return Caller{}, err
	}

	rights, err := e.rightsOf(ctx, key)
	return Caller{Key: key, Rights: rights}, err
}

// rightsOf returns what a key may do, by what its role is now.
func (e *Engine) rightsOf(ctx context.Context, key escrow.APIKey) (rights escrow.Rights, err error) {
	rights = escrow.RightsOfKey(key, func(name escrow.RoleName) (role escrow.Role, known bool) {
		if role, err = e.store.Role(ctx, key.InstitutionID, name); escrow.ErrorCode(err) == escrow.CodeRoleNotFound {
			err = nil
			return role, false
		}
		return role, err == nil
	})
	return rights, err
}

// checkNow refuses a key that may have had a permission when its request began, and does not have it now.
func (e *Engine) checkNow(ctx context.Context, request escrow.Request, permission escrow.Permission) error {
	if request.Actor.Key.IsZero() {
		return nil
	}

	ctx = WithSnapshot(ctx)
	key, err := e.store.Key(ctx, request.Institution, request.Actor.Key)
	if escrow.ErrorCode(err) == escrow.CodeKeyNotFound || err == nil && !key.Active(e.config.Now()) {
		return escrow.InvalidKey()
	}
	if err != nil {
		return err
	}
	rights, err := e.rightsOf(ctx, key)
	if err != nil {
		return err
	}
	return rights.Permissions.CheckPermission(permission)
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
