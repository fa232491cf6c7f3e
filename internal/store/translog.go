package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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

const checkpointColumns = "institution_id, size, at, note, balances"

var checkpointTable = newTable("journal_checkpoints", 2,
	[]string{"institution_id uuid", "size bigint", "at timestamptz", "note bytea", "balances text"},
	func(c *Checkpoint, to columns) error {
		to.id(c.Institution)
		to.number(c.Size)
		to.time(c.At)
		to.bytes(c.Note)
		balances, err := json.Marshal(&c.Balances)
		to.text(string(balances))
		return err
	})

func scanCheckpoint(r row, c *Checkpoint) error {
	var balances string
	if err := r.Scan((*[16]byte)(&c.Institution), &c.Size, &c.At, &c.Note, &balances); err != nil {
		return err
	}
	return json.Unmarshal([]byte(balances), &c.Balances)
}

// ownedTile is a tile with the institution whose journal's tree it is of.
type ownedTile struct {
	institution escrow.InstitutionID
	translog.Tile
}

// tileTable inserts tiles, and replaces those that have grown. None ever shrinks: of two
// servers that both think that the log is theirs, the slower one changes nothing.
var tileTable = func() table[ownedTile] {
	t := newTable("journal_tiles", 3, []string{"institution_id uuid", "level bigint", "number bigint", "hashes bytea"},
		func(t *ownedTile, to columns) error {
			to.id(t.institution)
			to.number(int64(t.Level))
			to.number(t.Number)
			to.bytes(t.Hashes)
			return nil
		})
	const replace = ` ON CONFLICT (institution_id, level, number) DO UPDATE SET hashes = excluded.hashes
		WHERE length(excluded.hashes) > length(journal_tiles.hashes)`
	t.insertRow += replace
	t.insertSet += replace
	return t
}()

// Tile reads a tile of the tree over an institution's journal; found is false where
// there is none.
func (s *Store) Tile(
	ctx context.Context, institution escrow.InstitutionID, id translog.TileID,
) (hashes []byte, found bool, err error) {
	return one(ctx, s, "SELECT hashes FROM journal_tiles WHERE institution_id = $1 AND level = $2 AND number = $3",
		[]any{idArg(institution), int64(id.Level), id.Number}, func(r row, hashes *[]byte) error { return r.Scan(hashes) })
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
			return nil, fmt.Errorf("tile %d of level %d of the journal of %s is not there", id.Number, id.Level, institution)
		}
		tiles[i] = translog.Tile{Level: id.Level, Number: id.Number, Hashes: hashes}
	}
	return tiles, nil
}

// AddCheckpoint keeps a checkpoint with the tiles that have changed since the one
// before it.
func (s *Store) AddCheckpoint(ctx context.Context, c Checkpoint, changed []translog.Tile) error {
	tiles := make([]ownedTile, len(changed))
	for i, tile := range changed {
		tiles[i] = ownedTile{c.Institution, tile}
	}
	return s.transact(ctx, func(sink changeSink) error {
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
	return one(ctx, s, "SELECT "+checkpointColumns+` FROM journal_checkpoints
		WHERE institution_id = $1 AND size <= $2 ORDER BY size DESC LIMIT 1`, []any{idArg(institution), upTo}, scanCheckpoint)
}

// FirstCheckpoint returns the first checkpoint of a journal whose size is at least from;
// found is false where there is none.
func (s *Store) FirstCheckpoint(
	ctx context.Context, institution escrow.InstitutionID, from int64,
) (c Checkpoint, found bool, err error) {
	return one(ctx, s, "SELECT "+checkpointColumns+` FROM journal_checkpoints
		WHERE institution_id = $1 AND size >= $2 ORDER BY size LIMIT 1`, []any{idArg(institution), from}, scanCheckpoint)
}

// Checkpoints returns a page of a journal's checkpoints. A cursor is a size.
func (s *Store) Checkpoints(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Checkpoint], error) {
	l := &list{from: "SELECT " + checkpointColumns + " FROM journal_checkpoints", key: "size"}
	l.where("institution_id = %s", idArg(institution))
	if page.After != nil {
		l.after(page, page.After.Sequence())
	}
	return pageOf(ctx, s, l, page, scanCheckpoint)
}

// UnsignedJournal is a journal with entries that no checkpoint covers yet.
type UnsignedJournal struct {
	Institution escrow.InstitutionID
	// Sequence is that of the last entry, Size that of the last checkpoint, 0 where there
	// is none.
	Sequence, Size int64
}

// UnsignedJournals returns the journals with entries that no checkpoint covers yet, at
// most limit of them after an institution, in order of id.
func (s *Store) UnsignedJournals(
	ctx context.Context, after escrow.InstitutionID, limit int,
) ([]UnsignedJournal, error) {
	return all(ctx, s, `SELECT institution_id, sequence, size FROM (
			SELECT h.institution_id, h.sequence, COALESCE(
				(SELECT MAX(c.size) FROM journal_checkpoints AS c WHERE c.institution_id = h.institution_id), 0) AS size
			FROM journal_heads AS h WHERE h.institution_id > $1) AS j
		WHERE sequence > size ORDER BY institution_id LIMIT $2`,
		[]any{idArg(after), int64(limit)}, func(r row, j *UnsignedJournal) error {
			return r.Scan((*[16]byte)(&j.Institution), &j.Sequence, &j.Size)
		})
}

// StoredEntry is an entry as it is stored: its body, as it is hashed, and the columns
// that repeat parts of it.
type StoredEntry struct {
	Sequence int64
	At       time.Time
	Actor    string
	Kind     escrow.Kind
	Subject  string
	Body     []byte
}

const storedEntryColumns = "sequence, at, actor, kind, subject, body"

func scanStoredEntry(r row, e *StoredEntry) error {
	return r.Scan(&e.Sequence, &e.At, &e.Actor, (*string)(&e.Kind), &e.Subject, &e.Body)
}

// StoredEntries returns the entries of a journal from one sequence to another, both
// included.
func (s *Store) StoredEntries(
	ctx context.Context, institution escrow.InstitutionID, from, to int64,
) ([]StoredEntry, error) {
	return all(ctx, s, "SELECT "+storedEntryColumns+` FROM journal_entries
		WHERE institution_id = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence`,
		[]any{idArg(institution), from, to}, scanStoredEntry)
}

// MaxHistories bounds the subjects that Histories is asked for.
const MaxHistories = 64

// Histories returns all entries of at most MaxHistories subjects, those of each in order.
func (s *Store) Histories(
	ctx context.Context, institution escrow.InstitutionID, subjects []string,
) ([]StoredEntry, error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	// One statement for any number of subjects: those that are missing repeat the last.
	args := append(make([]any, 0, 1+MaxHistories), idArg(institution))
	for i := range MaxHistories {
		args = append(args, subjects[min(i, len(subjects)-1)])
	}
	// Planned once, while the table was small, it would read whole journals ever after.
	entries := []StoredEntry{}
	err := s.list(ctx, historiesQuery, args, appendRow(&entries, scanStoredEntry))
	// PostgreSQL would not read the index in its order for a list of subjects.
	slices.SortFunc(entries, func(a, b StoredEntry) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), cmp.Compare(a.Sequence, b.Sequence))
	})
	return entries, err
}

var historiesQuery = func() string {
	var places strings.Builder
	for i := range MaxHistories {
		fmt.Fprintf(&places, ", $%d", i+2)
	}
	return "SELECT " + storedEntryColumns + " FROM journal_entries WHERE institution_id = $1 AND subject IN (" + places.String()[2:] + ")"
}()

// Ends returns the sequences of the first and the last entry that is stored of a
// journal, 0 where there is none.
func (s *Store) Ends(ctx context.Context, institution escrow.InstitutionID) (first, last int64, err error) {
	for end, order := range map[*int64]string{&first: "ASC", &last: "DESC"} {
		*end, _, err = one(ctx, s, "SELECT sequence FROM journal_entries WHERE institution_id = $1 ORDER BY sequence "+order+" LIMIT 1",
			[]any{idArg(institution)}, func(r row, sequence *int64) error { return r.Scan(sequence) })
		if err != nil {
			return 0, 0, err
		}
	}
	return first, last, nil
}

// NextTenant returns the first institution after another, in order of id, that any table
// has rows of; found is false where there is none.
func (s *Store) NextTenant(
	ctx context.Context, after escrow.InstitutionID,
) (next escrow.InstitutionID, found bool, err error) {
	for _, column := range []string{
		"journal_heads.institution_id", "institutions.id", "journal_entries.institution_id", "journal_checkpoints.institution_id",
		"api_keys.institution_id", "policies.institution_id", "asset_templates.institution_id", "assets.institution_id",
		"positions.institution_id",
	} {
		table, column, _ := strings.Cut(column, ".")
		id, has, err := one(ctx, s, "SELECT "+column+" FROM "+table+" WHERE "+column+" > $1 ORDER BY "+column+" LIMIT 1",
			[]any{idArg(after)}, func(r row, id *escrow.InstitutionID) error { return r.Scan((*[16]byte)(id)) })
		if err != nil {
			return next, false, err
		}
		if has && (!found || id.Compare(next) < 0) {
			next, found = id, true
		}
	}
	return next, found, nil
}

// CountEntries returns how many entries there are by the ends of the journals.
func (s *Store) CountEntries(ctx context.Context) (int64, error) {
	count, _, err := one(ctx, s, "SELECT CAST(COALESCE(SUM(sequence), 0) AS bigint) FROM journal_heads", nil,
		func(r row, count *int64) error { return r.Scan(count) })
	return count, err
}

// LogKey is a key that checkpoints were signed with.
type LogKey struct {
	VerifierKey string
	// SigningKey is empty for a key that is kept elsewhere.
	SigningKey string
	CreatedAt  time.Time
}

// LogKeys returns the keys that checkpoints were signed with, the oldest first.
func (s *Store) LogKeys(ctx context.Context) ([]LogKey, error) {
	return all(ctx, s, "SELECT verifier_key, signing_key, created_at FROM log_keys ORDER BY created_at, verifier_key", nil,
		func(r row, k *LogKey) error {
			var signingKey *string
			err := r.Scan(&k.VerifierKey, &signingKey, &k.CreatedAt)
			if signingKey != nil {
				k.SigningKey = *signingKey
			}
			return err
		})
}

// AddLogKey keeps a key, unless it is there.
func (s *Store) AddLogKey(ctx context.Context, k LogKey) error {
	var signingKey any
	if k.SigningKey != "" {
		signingKey = k.SigningKey
	}
	_, err := s.exec(ctx, `INSERT INTO log_keys (verifier_key, signing_key, created_at) VALUES ($1, $2, $3)
		ON CONFLICT (verifier_key) DO NOTHING`, []any{k.VerifierKey, signingKey, k.CreatedAt})
	return err
}
