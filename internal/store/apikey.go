package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const keyColumns = "institution_id, id, label, role, hash, created_at, expires_at, revoked_at"

var keyTable = newTable("api_keys", 2,
	[]string{
		"institution_id uuid", "id uuid", "label text", "role text", "hash bytea", "created_at timestamptz",
		"~expires_at timestamptz", "~revoked_at timestamptz",
	},
	func(k *escrow.APIKey, to columns) error {
		to.id(k.InstitutionID)
		to.id(k.ID)
		to.text(k.Label)
		to.text(string(k.Role))
		to.bytes(k.Hash[:])
		to.time(k.CreatedAt)
		to.optionalTime(k.ExpiresAt)
		to.optionalTime(k.RevokedAt)
		return nil
	})

func scanKey(r row, k *escrow.APIKey) error {
	var hash []byte
	err := r.Scan((*[16]byte)(&k.InstitutionID), (*[16]byte)(&k.ID), &k.Label, (*string)(&k.Role), &hash,
		&k.CreatedAt, &k.ExpiresAt, &k.RevokedAt)
	copy(k.Hash[:], hash)
	return err
}

// KeyByHash returns the API key of a secret.
func (s *Store) KeyByHash(ctx context.Context, hash escrow.SecretHash) (escrow.APIKey, bool, error) {
	return one(ctx, s, "SELECT "+keyColumns+" FROM api_keys WHERE hash = $1", []any{hash[:]}, scanKey)
}

// Key returns one API key of an institution.
func (s *Store) Key(
	ctx context.Context, institution escrow.InstitutionID, id escrow.KeyID,
) (escrow.APIKey, bool, error) {
	return recallOr(ctx, s, institution, id, func(escrow.APIKey) bool { return true }, func() (escrow.APIKey, bool, error) {
		return one(ctx, s, "SELECT "+keyColumns+" FROM api_keys WHERE institution_id = $1 AND id = $2",
			[]any{idArg(institution), idArg(id)}, scanKey)
	})
}

// Keys returns a page of an institution's API keys.
func (s *Store) Keys(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.KeyFilter, page escrow.PageRequest,
) (escrow.Page[escrow.APIKey], error) {
	l := &list{from: "SELECT " + keyColumns + " FROM api_keys", key: "id"}
	l.where("institution_id = %s", idArg(institution))
	if !filter.IncludeRevoked {
		l.where("revoked_at IS NULL")
	}
	return idPage(ctx, s, l, filter.Period, page, scanKey)
}
