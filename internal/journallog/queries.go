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
	kept, err := l.config.Store.LogKeys(ctx)
	if err != nil {
		return nil, store.Failure(err)
	}
	keys := make([]Key, len(kept))
	signers := l.config.Signers
	if made := l.signers.Load(); made != nil {
		signers = *made
	}
	for i, key := range kept {
		keys[i] = Key{key.VerifierKey, key.CreatedAt, slices.ContainsFunc(signers, func(s translog.Signer) bool {
			return s.VerifierKey() == key.VerifierKey
		})}
	}
	return keys, nil
}

// Checkpoint is a checkpoint of a journal, as it was signed.
type Checkpoint struct {
	translog.Checkpoint
	// Note is the signed note.
	Note []byte
}

func asSigned(kept store.Checkpoint) (Checkpoint, error) {
	checkpoint, err := translog.Unverified(kept.Note)
	return Checkpoint{checkpoint, kept.Note}, store.Failure(err)
}

// Checkpoint returns the checkpoint of a size, or, where size is nil, the latest.
func (l *Log) Checkpoint(ctx context.Context, of escrow.InstitutionID, size *int64) (Checkpoint, error) {
	upTo := int64(math.MaxInt64)
	if size != nil {
		upTo = *size
	}
	kept, found, err := l.config.Store.LastCheckpoint(ctx, of, upTo)
	switch {
	case err != nil:
		return Checkpoint{}, store.Failure(err)
	case !found && size == nil:
		return Checkpoint{}, escrow.Errorf(escrow.CodeCheckpointNotFound, "The journal has no checkpoint yet; one is signed within %s.", l.config.Interval)
	case !found || size != nil && kept.Size != *size:
		return Checkpoint{}, escrow.Errorf(escrow.CodeCheckpointNotFound, "There is no checkpoint of %d entries.", *size)
	}
	return asSigned(kept)
}

// CoveringCheckpoint returns the first checkpoint that covers an entry, by its sequence;
// found is false where none does yet.
func (l *Log) CoveringCheckpoint(
	ctx context.Context, of escrow.InstitutionID, sequence int64,
) (c Checkpoint, found bool, err error) {
	kept, found, err := l.config.Store.FirstCheckpoint(ctx, of, sequence)
	if err != nil || !found {
		return Checkpoint{}, false, store.Failure(err)
	}
	c, err = asSigned(kept)
	return c, true, err
}

// Checkpoints lists a journal's checkpoints, the smallest first. A cursor is a size.
func (l *Log) Checkpoints(
	ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Checkpoint], error) {
	kept, err := l.config.Store.Checkpoints(ctx, of, page)
	if err != nil {
		return escrow.Page[Checkpoint]{}, store.Failure(err)
	}
	checkpoints := escrow.Page[Checkpoint]{More: kept.More, Items: make([]Checkpoint, len(kept.Items))}
	for i, c := range kept.Items {
		if checkpoints.Items[i], err = asSigned(c); err != nil {
			return escrow.Page[Checkpoint]{}, err
		}
	}
	return checkpoints, nil
}

// Inclusion is the proof that an entry is in a journal's tree of a size.
type Inclusion struct {
	Sequence, Size int64
	Leaf, Root     translog.Hash
	Proof          []translog.Hash
}

// Inclusion proves that the entry of a sequence is in the tree of a size, or, where
// size is nil, of the latest checkpoint.
func (l *Log) Inclusion(ctx context.Context, of escrow.InstitutionID, sequence int64, size *int64) (Inclusion, error) {
	tree, err := l.latestTree(ctx, of)
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
	entries, err := l.config.Store.StoredEntries(ctx, of, sequence, sequence)
	if err != nil {
		return p, store.Failure(err)
	}
	if len(entries) != 1 {
		return p, escrow.Errorf(escrow.CodeEntryNotFound, "Entry %d is missing.", sequence)
	}
	p.Leaf = translog.LeafHash(entries[0].Body)
	return p, nil
}

// Consistency is the proof that a journal's tree of one size begins with that of an
// earlier one.
type Consistency struct {
	From, To         int64
	FromRoot, ToRoot translog.Hash
	Proof            []translog.Hash
}

// Consistency proves that the tree of one size begins with that of an earlier one. Where
// to is nil, it is that of the latest checkpoint.
func (l *Log) Consistency(ctx context.Context, of escrow.InstitutionID, from int64, to *int64) (Consistency, error) {
	tree, err := l.latestTree(ctx, of)
	if err != nil {
		return Consistency{}, err
	}
	p := Consistency{From: from, To: tree.Size}
	if to != nil {
		p.To = *to
	}
	if p.To > tree.Size || from > p.To || from < 1 {
		return p, escrow.Errorf(escrow.CodeCheckpointNotFound,
			"The latest checkpoint has %d entries; from must be 1 at least, and not more than to.", tree.Size)
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

func (l *Log) latestTree(ctx context.Context, of escrow.InstitutionID) (translog.Tree, error) {
	latest, err := l.Checkpoint(ctx, of, nil)
	return l.tree(ctx, of, latest.Size), err
}

// Balances returns what all entries of a journal sum to, and the sequence of the last.
func (l *Log) Balances(ctx context.Context, of escrow.InstitutionID) (escrow.Balances, int64, error) {
	head, err := l.head(ctx, of)
	if err != nil {
		return escrow.Balances{}, 0, err
	}
	balances, err := l.balancesAt(ctx, of, head.Sequence)
	return balances, head.Sequence, err
}

// head returns the end of the journal of an institution, which must exist.
func (l *Log) head(ctx context.Context, of escrow.InstitutionID) (escrow.Head, error) {
	head, found, err := l.config.Store.Head(ctx, of)
	if err == nil && !found {
		err = escrow.Errorf(escrow.CodeInstitutionNotFound, "There is no institution %s.", of)
	}
	return head, store.Failure(err)
}

// balancesAt returns what the entries of a journal up to a sequence sum to: what the last
// checkpoint up to there has kept, and the entries behind it.
func (l *Log) balancesAt(ctx context.Context, of escrow.InstitutionID, sequence int64) (escrow.Balances, error) {
	last, _, err := l.config.Store.LastCheckpoint(ctx, of, sequence)
	if err != nil {
		return escrow.Balances{}, store.Failure(err)
	}
	balances := last.Balances
	err = l.each(ctx, of, last.Size, sequence, func(e store.StoredEntry) (more bool, err error) {
		return true, balances.AddBody(e.Kind, e.Body)
	})
	return balances, store.Failure(err)
}
