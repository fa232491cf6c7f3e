package engine

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Ready returns nil when the engine can serve: the database answers and has this
// program's schema.
func (e *Engine) Ready(ctx context.Context) error { return store.Failure(e.store.CheckSchema(ctx)) }

// StoreName is the kind of database: "sqlite" or "postgres".
func (e *Engine) StoreName() string { return e.store.Name() }

// Reading returns a context for the queries of one request, with that of its key: the
// database is asked once whether what is remembered still holds.
func Reading(ctx context.Context) context.Context { return store.Reading(ctx) }

// Authenticate returns the record of the key with a secret. It is
// CodeInvalidKey when there is none, or it is revoked or expired.
//
// With mayBeOld the record may be one that another server has changed since. That
// is right for a command, which finds the key as it is under the lock of the
// journal; a query has nothing but this answer.
func (e *Engine) Authenticate(ctx context.Context, secret string, mayBeOld bool) (escrow.APIKey, error) {
	hash := escrow.HashSecret(secret)
	key, known, mark := e.keys.get(hash)
	if !known && escrow.CheckSecret(secret) != nil {
		return escrow.APIKey{}, invalidKey()
	}
	var err error
	switch {
	case !known:
		if key, known, err = e.store.KeyByHash(ctx, hash); known && err == nil {
			e.keys.put(key, mark)
		}
	case !mayBeOld && !e.store.Exclusive():
		cached := key
		if key, known, err = e.store.Key(ctx, key.InstitutionID, key.ID); known && err == nil && key != cached {
			e.keys.put(key, mark)
		}
	}
	if err != nil {
		return escrow.APIKey{}, store.Failure(err)
	}
	if !known || !key.Active(e.config.Now()) {
		return escrow.APIKey{}, invalidKey()
	}
	return key, nil
}

func invalidKey() error {
	return escrow.Errorf(escrow.CodeInvalidKey, "The API key is not valid.")
}

// found turns the absence of a resource into its refusal.
func found[T any](value T, ok bool, err error, missing escrow.Code, name string, id any) (T, error) {
	if err != nil {
		return value, store.Failure(err)
	}
	if !ok {
		return value, escrow.Errorf(missing, "There is no %s %s.", name, id)
	}
	return value, nil
}

// listed passes a list on with its error made fit for clients.
func listed[T any](page T, err error) (T, error) { return page, store.Failure(err) }

// Institution returns one institution.
func (e *Engine) Institution(ctx context.Context, id escrow.InstitutionID) (escrow.Institution, error) {
	institution, ok, err := e.store.Institution(ctx, id)
	return found(institution, ok, err, escrow.CodeInstitutionNotFound, "institution", id)
}

// Institutions lists all institutions.
func (e *Engine) Institutions(
	ctx context.Context, period escrow.Period, page escrow.PageRequest,
) (escrow.Page[escrow.Institution], error) {
	return listed(e.store.Institutions(ctx, period, page))
}

// Keys lists an institution's API keys.
func (e *Engine) Keys(
	ctx context.Context, of escrow.InstitutionID, filter escrow.KeyFilter, page escrow.PageRequest,
) (escrow.Page[escrow.APIKey], error) {
	return listed(e.store.Keys(ctx, of, filter, page))
}

// Policies lists all of an institution's policies, in order of region.
func (e *Engine) Policies(ctx context.Context, of escrow.InstitutionID) ([]escrow.Policy, error) {
	return listed(e.store.Policies(ctx, of))
}

// Policy returns an institution's policy for a region.
func (e *Engine) Policy(ctx context.Context, of escrow.InstitutionID, region escrow.Region) (escrow.Policy, error) {
	policies, err := e.store.Policies(ctx, of)
	for _, policy := range policies {
		if policy.Region == region {
			return policy, nil
		}
	}
	return found(escrow.Policy{}, false, err, escrow.CodePolicyNotFound, "policy for the region", region)
}

// Template returns one asset template.
func (e *Engine) Template(
	ctx context.Context, of escrow.InstitutionID, id escrow.TemplateID,
) (escrow.AssetTemplate, error) {
	template, ok, err := e.store.Template(ctx, of, id)
	return found(template, ok, err, escrow.CodeTemplateNotFound, "asset template", id)
}

// Templates lists an institution's asset templates.
func (e *Engine) Templates(
	ctx context.Context, of escrow.InstitutionID, period escrow.Period, page escrow.PageRequest,
) (escrow.Page[escrow.AssetTemplate], error) {
	return listed(e.store.Templates(ctx, of, period, page))
}

// Asset returns one asset.
func (e *Engine) Asset(ctx context.Context, of escrow.InstitutionID, id escrow.AssetID) (escrow.Asset, error) {
	asset, ok, err := e.store.Asset(ctx, of, id)
	return found(asset, ok, err, escrow.CodeAssetNotFound, "asset", id)
}

// Assets lists an institution's assets.
func (e *Engine) Assets(
	ctx context.Context, of escrow.InstitutionID, filter escrow.AssetFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Asset], error) {
	return listed(e.store.Assets(ctx, of, filter, page))
}

// Position returns one position with its events.
func (e *Engine) Position(
	ctx context.Context, of escrow.InstitutionID, id escrow.PositionID,
) (escrow.Position, error) {
	position, ok, err := e.store.Position(ctx, of, id)
	return found(position, ok, err, escrow.CodePositionNotFound, "position", id)
}

// Positions lists an institution's positions.
func (e *Engine) Positions(
	ctx context.Context, of escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Position], error) {
	return listed(e.store.Positions(ctx, of, filter, page))
}

// Entries lists entries of an institution's journal.
func (e *Engine) Entries(
	ctx context.Context, of escrow.InstitutionID, filter escrow.EntryFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Entry], error) {
	return listed(e.store.Entries(ctx, of, filter, page))
}

// Refusals lists the log of refused attempts.
func (e *Engine) Refusals(
	ctx context.Context, filter escrow.RefusalFilter, page escrow.PageRequest,
) (escrow.Page[escrow.RefusedAttempt], error) {
	return listed(e.store.Refusals(ctx, filter, page))
}

// Now is the engine's time.
func (e *Engine) Now() time.Time { return e.config.Now() }
