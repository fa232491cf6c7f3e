package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var keyTable = newTable("api_keys", func(k *escrow.APIKey) []column {
	return []column{
		key("institution_id", uuidColumn(&k.InstitutionID)),
		key("id", uuidColumn(&k.ID)),
		changing("label", textColumn(&k.Label)),
		fixed("owner", optionalTextColumn(&k.Owner)),
		fixed("role", textColumn(&k.Role)),
		fixed("permissions", jsonColumn(&k.Permissions)),
		fixed("restriction", optionalJSONColumn(&k.Restriction, func() bool { return k.Restriction.IsZero() })),
		fixed("allowed_networks", wordsColumn(&k.AllowedNetworks)),
		fixed("hash", hashColumn((*[32]byte)(&k.Hash))),
		fixed("created_at", timeColumn(&k.CreatedAt)),
		changing("expires_at", optionalTimeColumn(&k.ExpiresAt)),
		changing("revoked_at", optionalTimeColumn(&k.RevokedAt)),
		changing("rotated_to", optionalIDColumn(&k.RotatedTo)),
		changing("version", bigintColumn(&k.Version)),
		fixed("created_by", optionalActorColumn(&k.CreatedBy)),
		fixed("origin", optionalIDColumn(&k.Origin)),
	}
})

var keyRows = newRows(rowsOf[escrow.KeyID, escrow.APIKey, escrow.APIKey]{
	table:  keyTable,
	in:     func(b *escrow.Books) *escrow.Rows[escrow.KeyID, escrow.APIKey] { return &b.Keys },
	key:    func(k escrow.APIKey) escrow.KeyID { return k.ID },
	pack:   asIs[escrow.APIKey],
	unpack: func(k escrow.APIKey) (escrow.InstitutionID, escrow.APIKey) { return k.InstitutionID, k },
	named:  func(n *escrow.Needs) *[]escrow.KeyID { return &n.Keys },
	also: &furtherRows{
		needed: func(n *escrow.Needs) bool { return n.ActiveKeys },
		each:   activeKeys("FROM api_keys WHERE institution_id = $1"),
		all: activeKeys("FROM unnest($1::uuid[]) AS n (institution_id) " +
			"JOIN api_keys USING (institution_id) WHERE TRUE"),
	},
	keys:    idKeysOf(escrow.KeyID{}),
	cached:  remembersAll[escrow.APIKey],
	subject: func(k escrow.APIKey) string { return k.ID.String() },
})

// activeKeys reads the keys of some institutions that are active at their journals' heads.
func activeKeys(of string) string {
	return "SELECT " + keyTable.list + " " + of + " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > " +
		"(SELECT last_at FROM journal_heads WHERE journal_heads.institution_id = api_keys.institution_id))"
}

// KeyByHash returns the API key of a secret, or CodeInvalidKey. Whoever asks shares one query
// at a time with all others: secrets that nobody was given, however many are tried, keep one
// connection busy and no more.
func (s *Store) KeyByHash(ctx context.Context, hash escrow.SecretHash) (escrow.APIKey, error) {
	k, found, err := s.secrets.read(ctx, hash)
	if err == nil && !found {
		err = escrow.InvalidKey()
	}
	return k, Failure(err)
}

// maxHashes bounds the keys that one query looks for.
const maxHashes = 64

// keysByHash returns the keys of some hashes, at most maxHashes.
func (s *Store) keysByHash(
	ctx context.Context, hashes []escrow.SecretHash,
) (map[escrow.SecretHash]escrow.APIKey, error) {
	keys := make(map[escrow.SecretHash]escrow.APIKey, len(hashes))
	err := s.database.query(ctx, keysByHashQuery, hashArgs(hashes), func(r row) error {
		k, err := keyTable.scan(r)
		keys[k.Hash] = k
		return err
	})
	return keys, err
}

// hashArgs are the arguments of a statement that looks for some hashes, at most maxHashes. It is one for
// any number: those that are missing repeat the last.
func hashArgs(hashes []escrow.SecretHash) []any {
	args := make([]any, maxHashes)
	for i := range args {
		args[i] = hashes[min(i, len(hashes)-1)][:]
	}
	return args
}

var keysByHashQuery = "SELECT " + keyTable.list + " FROM api_keys WHERE hash IN (" + places(1, maxHashes) + ")"

// Key returns one API key of an institution, or CodeKeyNotFound.
func (s *Store) Key(ctx context.Context, institution escrow.InstitutionID, id escrow.KeyID) (escrow.APIKey, error) {
	k, found, err := recallOr(ctx, s, institution, id, keyRows.cached, func() (escrow.APIKey, bool, error) {
		return one(ctx, s.database, keyTable.byKey, []any{idArg(institution), idArg(id)}, keyTable.scan)
	})
	return must(k, found, err, escrow.CodeKeyNotFound, "API key", id)
}

// ExpiringKeys returns at most limit active keys that end by a time, those that end first.
func (s *Store) ExpiringKeys(ctx context.Context, now, before time.Time, limit int) ([]escrow.APIKey, error) {
	return all(ctx, s.database, expiringKeys, []any{now, before, int64(limit)}, keyTable.scan)
}

// CountExpiringKeys counts the active keys that end by a time.
func (s *Store) CountExpiringKeys(ctx context.Context, now, before time.Time) (int64, error) {
	count, _, err := one(ctx, s.database, "SELECT count(*) "+isExpiring, []any{now, before}, scanValue[int64])
	return count, Failure(err)
}

const isExpiring = "FROM api_keys WHERE revoked_at IS NULL AND expires_at IS NOT NULL " +
	"AND expires_at > $1 AND expires_at <= $2"

var expiringKeys = "SELECT " + keyTable.list + " " + isExpiring + " ORDER BY expires_at LIMIT $3"

// Keys returns a page of an institution's API keys.
func (s *Store) Keys(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.KeyFilter, page escrow.PageRequest,
) (escrow.Page[escrow.APIKey], error) {
	l := listOf(keyTable, "id")
	l.where("institution_id = %s", idArg(institution))
	if !filter.IncludeRevoked {
		l.where("revoked_at IS NULL")
	}
	return idPage(ctx, s.database, l, filter.Period, page, keyTable.scan)
}
