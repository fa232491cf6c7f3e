package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Queries are what the store answers by itself, with errors of the domain. It is an
// interface so that whoever has the engine has these of the store, and nothing else.
type Queries interface {
	// Institution, Template, Asset and Position return one resource, or the refusal of
	// their kind that it is not there. A position comes without its events; WithEvents
	// returns it with those that have led to its version.
	Institution(ctx context.Context, id escrow.InstitutionID) (escrow.Institution, error)
	Template(ctx context.Context, of escrow.InstitutionID, id escrow.TemplateID) (escrow.AssetTemplate, error)
	Asset(ctx context.Context, of escrow.InstitutionID, id escrow.AssetID) (escrow.Asset, error)
	Position(ctx context.Context, of escrow.InstitutionID, id escrow.PositionID) (escrow.Position, error)
	WithEvents(ctx context.Context, p escrow.Position) (escrow.Position, error)

	// Erasure returns one erasure, or the refusal that it is not there; Erasures a page of them.
	Erasure(ctx context.Context, of escrow.InstitutionID, id escrow.ErasureID) (escrow.Erasure, error)
	Erasures(
		ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest,
	) (escrow.Page[escrow.Erasure], error)

	// HolderTotals returns what all positions of a holder are together, and Claims adds what some
	// positions are claims on; see the store for its bound.
	HolderTotals(ctx context.Context, of escrow.InstitutionID, holderReference string) (escrow.HolderTotals, error)
	Claims(
		ctx context.Context, of escrow.InstitutionID, ids []escrow.PositionID,
		claims map[escrow.PositionID]escrow.Claim,
	) error

	// Policies returns all of an institution's policies, in order of region, Policy that
	// for one region.
	Policies(ctx context.Context, of escrow.InstitutionID) ([]escrow.Policy, error)
	Policy(ctx context.Context, of escrow.InstitutionID, region escrow.Region) (escrow.Policy, error)

	// Roles returns the roles that an institution has set, in order of name, Role that of one name.
	Roles(ctx context.Context, of escrow.InstitutionID) ([]escrow.Role, error)
	Role(ctx context.Context, of escrow.InstitutionID, name escrow.RoleName) (escrow.Role, error)

	// User returns one user, or the refusal that there is none; Users a page of them.
	User(ctx context.Context, of escrow.InstitutionID, id escrow.UserID) (escrow.User, error)
	Users(
		ctx context.Context, of escrow.InstitutionID, filter escrow.UserFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.User], error)
	// IdentityProvider returns the identity provider of an institution, without its secret, or the
	// refusal that none is set.
	IdentityProvider(ctx context.Context, of escrow.InstitutionID) (escrow.IdentityProvider, error)

	// ApprovalRules returns an institution's rules, which are empty where none were ever set. Approval
	// returns one approval, or the refusal that there is none; Approvals a page of them; PendingOn what pending
	// ones are about among some subjects of the journal's; see the store for its bound.
	ApprovalRules(ctx context.Context, of escrow.InstitutionID) (escrow.ApprovalRules, error)
	Approval(ctx context.Context, of escrow.InstitutionID, id escrow.ApprovalID) (escrow.Approval, error)
	Approvals(
		ctx context.Context, of escrow.InstitutionID, filter escrow.ApprovalFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.Approval], error)
	PendingOn(ctx context.Context, of escrow.InstitutionID, subjects []string) ([]escrow.ApprovalSubject, error)

	// Hold returns one hold, or the refusal that there is none; Holds a page of them, both with their steps;
	// AddHoldSteps adds these to holds.
	Hold(ctx context.Context, of escrow.InstitutionID, id escrow.HoldID) (escrow.Hold, error)
	Holds(
		ctx context.Context, of escrow.InstitutionID, filter escrow.HoldFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.Hold], error)
	AddHoldSteps(ctx context.Context, of escrow.InstitutionID, holds []escrow.Hold) error

	// The rest are pages of lists. SecurityEvents lists refused attempts.
	Institutions(
		ctx context.Context, period escrow.Period, page escrow.PageRequest,
	) (escrow.Page[escrow.Institution], error)
	Keys(
		ctx context.Context, of escrow.InstitutionID, filter escrow.KeyFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.APIKey], error)
	Templates(
		ctx context.Context, of escrow.InstitutionID, filter escrow.TemplateFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.AssetTemplate], error)
	Assets(
		ctx context.Context, of escrow.InstitutionID, filter escrow.AssetFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.Asset], error)
	Positions(
		ctx context.Context, of escrow.InstitutionID, filter escrow.PositionFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.Position], error)
	Entries(
		ctx context.Context, of escrow.InstitutionID, filter escrow.EntryFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.Entry], error)
	SecurityEvents(
		ctx context.Context, filter escrow.SecurityEventFilter, page escrow.PageRequest,
	) (escrow.Page[escrow.SecurityEvent], error)
}

// AssetsOf returns the assets of some positions of an institution, as far as there are any, each
// once.
func (e *Engine) AssetsOf(
	ctx context.Context, of escrow.InstitutionID, positions []escrow.PositionID,
) ([]escrow.AssetID, error) {
	claims := make(map[escrow.PositionID]escrow.Claim, len(positions))
	if err := e.store.Claims(ctx, of, positions, claims); err != nil {
		return nil, err
	}
	assets := make(map[escrow.AssetID]bool, len(claims))
	for _, claim := range claims {
		assets[claim.AssetID] = true
	}
	return slices.SortedFunc(maps.Keys(assets), escrow.AssetID.Compare), nil
}

// Ready returns nil when the engine can serve: the database answers, has this
// program's schema, is no copy that is not finished, and can be written to.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.store.CheckSchema(ctx); err != nil {
		return err
	}
	if err := e.store.CheckCopy(ctx); err != nil {
		return store.Failure(err)
	}
	return e.store.CheckWritable(ctx)
}

// StoreName is the kind of database: "sqlite" or "postgres".
func (e *Engine) StoreName() string { return e.store.Name() }

// WithSnapshot returns a context for the queries of one request, with that of its key:
// the database is asked once whether what is remembered still holds.
func WithSnapshot(ctx context.Context) context.Context { return store.WithSnapshot(ctx) }

// Operators is who acts for the operator, as it is configured.
func (e *Engine) Operators() escrow.Operators { return e.config.Operators }

// Now is the engine's time.
func (e *Engine) Now() time.Time { return e.config.Now() }
