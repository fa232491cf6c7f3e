package store

import (
	"context"
	"fmt"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Checkpoint is a checkpoint of an institution's journal, as it was signed, with what
// the entries up to its size sum to.
type Checkpoint struct {
	Institution escrow.InstitutionID
	Size        int64
	At          time.Time
	Note        []byte
	Balances    escrow.Balances
}

var checkpointTable = newTable("journal_checkpoints", func(c *Checkpoint) []column {
	return []column{
		key("institution_id", uuidColumn(&c.Institution)),
		key("size", bigintColumn(&c.Size)),
		fixed("at", timeColumn(&c.At)),
		fixed("note", bytesColumn(&c.Note)),
		fixed("balances", jsonColumn(&c.Balances)),
	}
})

// ownedTile is a tile of the tree over an institution's journal.
type ownedTile struct {
	InstitutionID escrow.InstitutionID
	translog.Tile
}

// tileTable inserts tiles, and replaces those that have grown. None ever shrinks: of two
// servers that both think that the log is theirs, the slower one changes nothing.
var tileTable = newTable("journal_tiles", func(t *ownedTile) []column {
	return []column{
		key("institution_id", uuidColumn(&t.InstitutionID)),
		key("level", bigintColumn(&t.Level)),
		key("number", bigintColumn(&t.Number)),
		changing("hashes", bytesColumn(&t.Hashes)),
	}
}, onConflict(`ON CONFLICT (institution_id, level, number) DO UPDATE SET hashes = excluded.hashes
		WHERE length(excluded.hashes) > length(journal_tiles.hashes)`))

// Tile reads a tile of the tree over an institution's journal; found is false where
// there is none.
func (s *Store) Tile(
	ctx context.Context, institution escrow.InstitutionID, id translog.TileID,
) (hashes []byte, found bool, err error) {
	tile, found, err := one(ctx, s.database, tileTable.byKey,
		[]any{idArg(institution), int64(id.Level), id.Number}, tileTable.scan)
	return tile.Hashes, found, err
}

// EachTile calls each for every tile of the tree over an institution's journal, with its bytes.
func (s *Store) EachTile(
	ctx context.Context, institution escrow.InstitutionID, each func(level, number, bytes int64),
) error {
	const tiles = "SELECT level, number, CAST(length(hashes) AS bigint) FROM journal_tiles WHERE institution_id = $1"
	return s.database.query(ctx, tiles, []any{idArg(institution)}, func(r row) error {
		var level, number, bytes int64
		err := r.Scan(&level, &number, &bytes)
		if err == nil {
			each(level, number, bytes)
		}
		return err
	})
}

// Tiles reads tiles of the tree over an institution's journal, all of which must be there.
func (s *Store) Tiles(
	ctx context.Context, institution escrow.InstitutionID, ids []translog.TileID,
) ([]translog.Tile, error) {
	tiles := make([]translog.Tile, len(ids))
	for i, id := range ids {
		hashes, found, err := s.Tile(ctx, institution, id)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("tile %d of level %d of the journal of %s is not there",
				id.Number, id.Level, institution)
		}
		tiles[i] = translog.Tile{Level: id.Level, Number: id.Number, Hashes: hashes}
	}
	return tiles, nil
}

// AddCheckpoint keeps a checkpoint with the tiles that have changed since the one
// before it, and with the keys that have signed it, unless they are there.
func (s *Store) AddCheckpoint(
	ctx context.Context, c Checkpoint, changed []translog.Tile, keys []CheckpointKey,
) error {
	tiles := make([]ownedTile, len(changed))
	for i, tile := range changed {
		tiles[i] = ownedTile{c.Institution, tile}
	}
	return s.database.transact(ctx, func(sink changeSink) error {
		if err := insert(sink, checkpointKeyTable, keys); err != nil {
			return err
		}
		if err := insert(sink, checkpointTable, []Checkpoint{c}); err != nil {
			return err
		}
		return insert(sink, tileTable, tiles)
	})
}

// LastCheckpoint returns the last checkpoint of a journal whose size is at most upTo;
// found is false where there is none.
func (s *Store) LastCheckpoint(
	ctx context.Context, institution escrow.InstitutionID, upTo int64,
) (c Checkpoint, found bool, err error) {
	return one(ctx, s.database, "SELECT "+checkpointTable.list+` FROM journal_checkpoints
		WHERE institution_id = $1 AND size <= $2 ORDER BY size DESC LIMIT 1`, []any{idArg(institution), upTo}, checkpointTable.scan)
}

// FirstCheckpoint returns the first checkpoint of a journal whose size is at least from;
// found is false where there is none.
func (s *Store) FirstCheckpoint(
	ctx context.Context, institution escrow.InstitutionID, from int64,
) (c Checkpoint, found bool, err error) {
	return one(ctx, s.database, "SELECT "+checkpointTable.list+` FROM journal_checkpoints
		WHERE institution_id = $1 AND size >= $2 ORDER BY size LIMIT 1`, []any{idArg(institution), from}, checkpointTable.scan)
}

// Checkpoints returns a page of a journal's checkpoints. A cursor is a size.
func (s *Store) Checkpoints(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Checkpoint], error) {
	return s.checkpoints(ctx, institution, page, checkpointTable.scan)
}

func (s *Store) checkpoints(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest, scan func(row) (Checkpoint, error),
) (escrow.Page[Checkpoint], error) {
	l := listOf(checkpointTable, "size")
	l.where("institution_id = %s", idArg(institution))
	if page.After != nil {
		l.after(page, page.After.Sequence())
	}
	return pageOf(ctx, s.database, l, page, scan)
}

// CheckpointsSince returns the first checkpoints of all journals that were signed at a time
// or later, at most limit of them, in order of time.
func (s *Store) CheckpointsSince(ctx context.Context, at time.Time, limit int) ([]Checkpoint, error) {
	return all(ctx, s.database, "SELECT "+checkpointTable.list+` FROM journal_checkpoints
		WHERE at >= $1 ORDER BY at LIMIT $2`, []any{at, int64(limit)}, checkpointTable.scan)
}

// HasCheckpoints reports whether any checkpoint is there.
func (s *Store) HasCheckpoints(ctx context.Context) (bool, error) {
	_, found, err := one(ctx, s.database, "SELECT size FROM journal_checkpoints LIMIT 1", nil, scanValue[int64])
	return found, err
}

// NextNote returns the size and the note of the first checkpoint of a journal whose size is
// above another, whatever its other columns have; found is false where there is none.
func (s *Store) NextNote(
	ctx context.Context, institution escrow.InstitutionID, after int64,
) (c Checkpoint, found bool, err error) {
	return one(ctx, s.database, `SELECT size, note FROM journal_checkpoints
		WHERE institution_id = $1 AND size > $2 ORDER BY size LIMIT 1`, []any{idArg(institution), after},
		func(r row) (Checkpoint, error) {
			read := Checkpoint{Institution: institution}
			err := r.Scan(&read.Size, &read.Note)
			return read, err
		})
}

// LastSize returns the size of the last checkpoint of a journal that is at most upTo, 0
// where there is none.
func (s *Store) LastSize(ctx context.Context, institution escrow.InstitutionID, upTo int64) (size int64, err error) {
	size, _, err = one(ctx, s.database, `SELECT size FROM journal_checkpoints
		WHERE institution_id = $1 AND size <= $2 ORDER BY size DESC LIMIT 1`, []any{idArg(institution), upTo}, scanValue[int64])
	return size, err
}

// UnsignedJournal is a journal with entries that no checkpoint covers yet.
type UnsignedJournal struct {
	Institution escrow.InstitutionID
	// Sequence is that of the last entry, Size that of the last checkpoint, 0 where there
	// is none.
	Sequence, Size int64
}

// UnsignedJournals returns the journals with entries that no checkpoint covers yet, at
// most limit of them after an institution, in order of id. Those that have lost entries are
// left out.
func (s *Store) UnsignedJournals(
	ctx context.Context, after escrow.InstitutionID, limit int,
) ([]UnsignedJournal, error) {
	return all(ctx, s.database, `SELECT institution_id, sequence, size FROM (
			SELECT h.institution_id, h.sequence, COALESCE(
				(SELECT MAX(c.size) FROM journal_checkpoints AS c WHERE c.institution_id = h.institution_id), 0) AS size
			FROM journal_heads AS h WHERE h.institution_id > $1 AND h.lost_sequence = 0) AS j
		WHERE sequence > size ORDER BY institution_id LIMIT $2`,
		[]any{idArg(after), int64(limit)}, func(r row) (j UnsignedJournal, err error) {
			err = r.Scan((*[16]byte)(&j.Institution), &j.Sequence, &j.Size)
			return j, err
		})
}

// CheckpointKey is a key that checkpoints were signed with.
type CheckpointKey struct {
	VerifierKey string
	// SigningKey is empty for a key that is kept elsewhere.
	SigningKey string
	CreatedAt  time.Time
}

var checkpointKeyTable = newTable("checkpoint_keys", func(k *CheckpointKey) []column {
	return []column{
		key("verifier_key", textColumn(&k.VerifierKey)),
		fixed("signing_key", optionalTextColumn(&k.SigningKey)),
		fixed("created_at", timeColumn(&k.CreatedAt)),
	}
}, onConflict("ON CONFLICT (verifier_key) DO NOTHING"))

var allCheckpointKeys = "SELECT " + checkpointKeyTable.list + " FROM checkpoint_keys ORDER BY created_at, verifier_key"

// CheckpointKeys returns the keys that checkpoints were signed with, the oldest first.
func (s *Store) CheckpointKeys(ctx context.Context) ([]CheckpointKey, error) {
	return all(ctx, s.database, allCheckpointKeys, nil, checkpointKeyTable.scan)
}

// AddCheckpointKey keeps a key, unless it is there.
func (s *Store) AddCheckpointKey(ctx context.Context, k CheckpointKey) error {
	return s.database.transact(ctx, func(sink changeSink) error {
		return insert(sink, checkpointKeyTable, []CheckpointKey{k})
	})
}
