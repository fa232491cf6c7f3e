package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var keyUseTable = newTable("api_key_uses", func(u *escrow.KeyUse) []column {
	return []column{
		key("institution_id", uuidColumn(&u.InstitutionID)),
		key("id", uuidColumn(&u.ID)),
		changing("last_used_at", timeColumn(&u.LastUsedAt)),
		changing("last_used_from", addressColumn(&u.LastUsedFrom)),
	}
}, onConflict("ON CONFLICT (institution_id, id) DO UPDATE SET last_used_at = excluded.last_used_at, "+
	"last_used_from = excluded.last_used_from WHERE api_key_uses.last_used_at < excluded.last_used_at"))

// NoteKeyUses keeps when keys were last used, unless later uses are known.
func (s *Store) NoteKeyUses(ctx context.Context, uses []escrow.KeyUse) error {
	return s.database.transact(ctx, func(sink changeSink) error { return insert(sink, keyUseTable, uses) })
}

var keyUsesByKey = statement{
	perRow: keyUseTable.byKey,
	perSet: "SELECT " + keyUseTable.list + " FROM unnest($1::uuid[], $2::uuid[]) AS n (institution_id, id) " +
		"JOIN api_key_uses USING (institution_id, id)",
}

// KeyUses returns when some keys of an institution were last used, by key. One that never was, or
// less than a minute ago for the first time, is left out.
func (s *Store) KeyUses(
	ctx context.Context, institution escrow.InstitutionID, ids []escrow.KeyID,
) (map[escrow.KeyID]escrow.KeyUse, error) {
	uses := make(map[escrow.KeyID]escrow.KeyUse, len(ids))
	err := s.readByIDs(ctx, institution, idArgs(ids), keyUsesByKey, func(r row) error {
		use, err := keyUseTable.scan(r)
		uses[use.ID] = use
		return err
	})
	return uses, Failure(err)
}
