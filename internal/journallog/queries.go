package journallog

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Key is a public key that checkpoints were signed with.
type Key struct {
	// VerifierKey is name+hash+base64, as golang.org/x/mod/sumdb/note has it.
	VerifierKey string
	CreatedAt   time.Time
	// Current says that this server signs with it.
	Current bool
}

// Keys returns the keys that checkpoints were ever signed with, the oldest first.
func (l *Log) Keys(ctx context.Context) ([]Key, error) {
	stored, err := l.config.Store.CheckpointKeys(ctx)
	if err != nil {
		return nil, store.Failure(err)
	}
	signers := l.config.Signers
	// Before the first round a generated key has not been loaded.
	if loaded := l.signers.Load(); loaded != nil {
		signers = loaded.all
	}

	keys := make([]Key, len(stored))
	for i, key := range stored {
		keys[i] = Key{
			VerifierKey: key.VerifierKey,
			CreatedAt:   key.CreatedAt,
			Current: slices.ContainsFunc(signers, func(s translog.Signer) bool {
				return s.VerifierKey() == key.VerifierKey
			}),
		}
	}
	return keys, nil
}

// Checkpoint is a checkpoint of a journal, as it was signed.
type Checkpoint struct {
	translog.Checkpoint
	// Note is the signed note.
	Note []byte
}

// parseStored returns a checkpoint with the contents of its note, which this or another
// server has signed and stored.
func parseStored(stored store.Checkpoint) (Checkpoint, error) {
	checkpoint, err := translog.Unverified(stored.Note)
	return Checkpoint{Checkpoint: checkpoint, Note: stored.Note}, store.Failure(err)
}

// Checkpoint returns the checkpoint of exactly this size in entries or, where size is nil,
// the latest. Without one, the error has CodeCheckpointNotFound.
func (l *Log) Checkpoint(ctx context.Context, institution escrow.InstitutionID, size *int64) (Checkpoint, error) {
	upTo := int64(math.MaxInt64)
	if size != nil {
		upTo = *size
	}

	stored, found, err := l.config.Store.LastCheckpoint(ctx, institution, upTo)
	switch {
	case err != nil:
		return Checkpoint{}, store.Failure(err)
	case !found && size == nil:
		return Checkpoint{}, escrow.Errorf(escrow.CodeCheckpointNotFound,
			"The journal has no checkpoint yet; one is signed within %s.", l.config.Interval)
	case !found || size != nil && stored.Size != *size:
		return Checkpoint{}, escrow.Errorf(escrow.CodeCheckpointNotFound,
			"There is no checkpoint of %d entries.", *size)
	}
	return parseStored(stored)
}

// CoveringCheckpoint returns the first checkpoint that covers the entry of a sequence;
// found is false where none does yet.
func (l *Log) CoveringCheckpoint(
	ctx context.Context, institution escrow.InstitutionID, sequence int64,
) (c Checkpoint, found bool, err error) {
	stored, found, err := l.config.Store.FirstCheckpoint(ctx, institution, sequence)
	if err != nil || !found {
		return Checkpoint{}, false, store.Failure(err)
	}
	c, err = parseStored(stored)
	return c, true, err
}

// Checkpoints lists a journal's checkpoints, the smallest first. A cursor is a size.
func (l *Log) Checkpoints(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Checkpoint], error) {
	stored, err := l.config.Store.Checkpoints(ctx, institution, page)
	if err != nil {
		return escrow.Page[Checkpoint]{}, store.Failure(err)
	}

	checkpoints := escrow.Page[Checkpoint]{
		More:  stored.More,
		Count: stored.Count,
		Items: make([]Checkpoint, len(stored.Items)),
	}
	for i, c := range stored.Items {
		if checkpoints.Items[i], err = parseStored(c); err != nil {
			return escrow.Page[Checkpoint]{}, err
		}
	}
	return checkpoints, nil
}

// Inclusion is the proof that an entry is in the tree of a journal's first Size entries.
type Inclusion struct {
	Sequence, Size int64
	Leaf, Root     translog.Hash
	Proof          []translog.Hash
}

// Inclusion proves that the entry of a sequence is in the tree of the first size entries
// or, where size is nil, of the latest checkpoint. A size beyond the latest checkpoint is
// CodeCheckpointNotFound; a sequence beyond the size is CodeEntryNotFound.
func (l *Log) Inclusion(
	ctx context.Context, institution escrow.InstitutionID, sequence int64, size *int64,
) (Inclusion, error) {
	tree, err := l.latestTree(ctx, institution)
	if err != nil {
		return Inclusion{}, err
	}

	p := Inclusion{Sequence: sequence, Size: tree.Size}
	if size != nil {
		p.Size = *size
	}
	if p.Size > tree.Size {
		return p, escrow.Errorf(escrow.CodeCheckpointNotFound, "The latest checkpoint has %d entries.", tree.Size)
	}
	if sequence < 1 || sequence > p.Size {
		return p, escrow.Errorf(escrow.CodeEntryNotFound, "Entry %d is not among the first %d.", sequence, p.Size)
	}

	if p.Proof, err = tree.ProveInclusion(sequence, p.Size); err != nil {
		return p, store.Failure(err)
	}
	if p.Root, err = tree.Root(p.Size); err != nil {
		return p, store.Failure(err)
	}

	entries, err := l.config.Store.StoredEntries(ctx, institution, sequence, sequence)
	if err != nil {
		return p, store.Failure(err)
	}
	if len(entries) != 1 {
		return p, escrow.Errorf(escrow.CodeEntryNotFound, "Entry %d is missing.", sequence)
	}
	p.Leaf = translog.LeafHash(entries[0].Body)
	return p, nil
}

// Covered returns the first checkpoint that covers the entry of a sequence, and the proof that the
// entry is in its tree. Where none covers it yet, the error has CodeCheckpointPending.
func (l *Log) Covered(
	ctx context.Context, institution escrow.InstitutionID, sequence int64,
) (c Checkpoint, proof Inclusion, err error) {
	c, found, err := l.CoveringCheckpoint(ctx, institution, sequence)
	if err == nil && !found {
		err = escrow.Errorf(escrow.CodeCheckpointPending,
			"No checkpoint covers entry %d yet; one is signed within %s.", sequence, l.config.Interval)
	}
	if err != nil {
		return c, Inclusion{}, err
	}
	proof, err = l.Inclusion(ctx, institution, sequence, &c.Size)
	return c, proof, err
}

// Consistency is the proof that the tree of a journal's first To entries begins with that
// of its first From entries.
type Consistency struct {
	From, To         int64
	FromRoot, ToRoot translog.Hash
	Proof            []translog.Hash
}

// Consistency proves that the tree of the first to entries begins with that of the first
// from entries. Where to is nil, it is the size of the latest checkpoint. Sizes out of
// bounds are CodeCheckpointNotFound.
func (l *Log) Consistency(
	ctx context.Context, institution escrow.InstitutionID, from int64, to *int64,
) (Consistency, error) {
	tree, err := l.latestTree(ctx, institution)
	if err != nil {
		return Consistency{}, err
	}

	p := Consistency{From: from, To: tree.Size}
	if to != nil {
		p.To = *to
	}
	if p.To > tree.Size || from > p.To || from < 1 {
		return p, escrow.Errorf(escrow.CodeCheckpointNotFound,
			"The latest checkpoint has %d entries; from must be at least 1 and at most to.", tree.Size)
	}

	if p.Proof, err = tree.ProveConsistency(from, p.To); err != nil {
		return p, store.Failure(err)
	}
	if p.FromRoot, err = tree.Root(from); err != nil {
		return p, store.Failure(err)
	}
	p.ToRoot, err = tree.Root(p.To)
	return p, store.Failure(err)
}

// latestTree returns the tree that the latest checkpoint covers.
func (l *Log) latestTree(ctx context.Context, institution escrow.InstitutionID) (translog.Tree, error) {
	latest, err := l.Checkpoint(ctx, institution, nil)
	return l.tree(ctx, institution, latest.Size), err
}

// Balances returns the balances after all entries of a journal, and the sequence of the
// last entry.
func (l *Log) Balances(ctx context.Context, institution escrow.InstitutionID) (escrow.Balances, int64, error) {
	head, err := l.head(ctx, institution)
	if err != nil {
		return escrow.Balances{}, 0, err
	}
	balances, err := l.balancesAt(ctx, institution, head.Sequence)
	return balances, head.Sequence, err
}

// head returns the head of an institution's journal. An unknown institution is
// CodeInstitutionNotFound.
func (l *Log) head(ctx context.Context, institution escrow.InstitutionID) (escrow.Head, error) {
	head, found, err := l.config.Store.Head(ctx, institution)
	if err == nil && !found {
		err = escrow.Errorf(escrow.CodeInstitutionNotFound, "There is no institution %s.", institution)
	}
	return head, store.Failure(err)
}

// balancesAt returns the balances after the entry of a sequence. It begins with those that
// the last checkpoint up to there stored, and adds the entries after the checkpoint.
func (l *Log) balancesAt(
	ctx context.Context, institution escrow.InstitutionID, sequence int64,
) (escrow.Balances, error) {
	last, _, err := l.config.Store.LastCheckpoint(ctx, institution, sequence)
	if err != nil {
		return escrow.Balances{}, store.Failure(err)
	}
	balances := last.Balances
	err = l.eachEntry(ctx, institution, last.Size, sequence, func(e store.StoredEntry) (more bool, err error) {
		return true, balances.AddBody(e.Kind, e.Body)
	})
	return balances, store.Failure(err)
}
