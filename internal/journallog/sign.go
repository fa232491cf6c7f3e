package journallog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// signers are the keys that this server signs with, and their rows in the database.
type signers struct {
	all  []translog.Signer
	rows []store.CheckpointKey
}

// settling is how long nothing is signed after the database has turned out to be another:
// every server compares first what it has seen, and closes the journals that have gone back.
const settling = 10 * time.Second

// signJournals signs a checkpoint of every journal with new entries.
func (l *Log) signJournals(ctx context.Context) error {
	if at, changed := l.config.Store.IdentityChangedAt(); changed && time.Since(at) < settling {
		return nil
	}
	keys, err := l.loadSigners(ctx)
	if err != nil {
		return err
	}

	var errs []error
	err = l.eachUnsigned(ctx, func(journal store.UnsignedJournal) {
		// A broken journal must not keep the others from their checkpoints.
		if err := l.signJournal(ctx, journal, keys); err != nil {
			errs = append(errs, fmt.Errorf("journal of %s: %w", journal.Institution, err))
		}
	})
	return errors.Join(append(errs, err)...)
}

// loadSigners returns the configured signers or, without any, the generated one.
func (l *Log) loadSigners(ctx context.Context) (*signers, error) {
	if loaded := l.signers.Load(); loaded != nil {
		return loaded, nil
	}

	keys := &signers{all: l.config.Signers}
	for _, signer := range keys.all {
		keys.rows = append(keys.rows, store.CheckpointKey{VerifierKey: signer.VerifierKey(), CreatedAt: l.now()})
	}
	if len(keys.all) == 0 {
		signer, row, err := l.generatedSigner(ctx)
		if err != nil {
			return nil, err
		}
		keys.all, keys.rows = []translog.Signer{signer}, []store.CheckpointKey{row}
	}

	// The public keys are published before anything is signed with them.
	for _, row := range keys.rows {
		if err := l.config.Store.AddCheckpointKey(ctx, row); err != nil {
			return nil, err
		}
	}
	l.signers.Store(keys)
	return keys, nil
}

// generatedSigner returns the signer whose key a server generated for this origin, or
// generates one.
func (l *Log) generatedSigner(ctx context.Context) (signer translog.Signer, row store.CheckpointKey, err error) {
	stored, err := l.config.Store.CheckpointKeys(ctx)
	if err != nil {
		return signer, row, err
	}
	for _, row := range stored {
		if row.SigningKey == "" {
			continue
		}
		signer, err := translog.NewSigner(row.SigningKey)
		if err == nil && signer.VerifierKey() != row.VerifierKey {
			err = errForeignKey
		}
		if err != nil || signer.Name() == l.config.Origin {
			return signer, row, err
		}
	}

	// Whoever checks the checkpoints of another key that nobody can look up cannot tell it from
	// a forger's.
	if signed, err := l.config.Store.HasCheckpoints(ctx); err != nil || signed && len(stored) == 0 {
		return signer, row, errors.Join(err, errKeyGone)
	}
	row.SigningKey, signer, err = translog.GenerateKey(l.config.Origin)
	if err != nil {
		return signer, row, err
	}
	row.VerifierKey, row.CreatedAt = signer.VerifierKey(), l.now()
	l.config.Logger.Info("generated a key that signs checkpoints and stored it in the database",
		"verifier_key", row.VerifierKey)
	return signer, row, nil
}

var errKeyGone = errors.New("the key that signed the checkpoints is no longer in the database; " +
	"set CHECKPOINT_SIGNING_KEY to the one that is to sign from now on")

var errForeignKey = errors.New("a private key in checkpoint_keys is not that of the public key beside it; " +
	"escrowgrid verify names it")

// now is the time in the precision of the database.
func (l *Log) now() time.Time { return l.config.Now().UTC().Truncate(time.Microsecond) }

// signJournal signs checkpoints of one journal until they cover its head.
func (l *Log) signJournal(ctx context.Context, journal store.UnsignedJournal, keys *signers) error {
	last, _, err := l.config.Store.LastCheckpoint(ctx, journal.Institution, math.MaxInt64)
	if err != nil {
		return err
	}
	last.Institution = journal.Institution

	// Each checkpoint builds on the tree and the balances of the one before.
	for last.Size < journal.Sequence {
		size, err := l.nextSize(ctx, last, journal.Sequence)
		if err != nil || size == 0 {
			return err
		}
		next, err := l.grow(ctx, last, size)
		if err != nil {
			return err
		}
		if err := l.sign(ctx, next, keys); err != nil {
			return err
		}
		last = next.Checkpoint
	}
	return nil
}

// nextSize returns the size of the checkpoint after the last one of a journal with a head; 0
// where none may be signed.
func (l *Log) nextSize(ctx context.Context, last store.Checkpoint, head int64) (int64, error) {
	size := min(head, last.Size+maxCheckpointEntries)
	known := l.signed.Last(last.Institution)
	if known.Size <= last.Size {
		return size, nil
	}

	// It was signed and is not in the database: it was lost, or never came there.
	if known.Size <= head {
		again, err := l.grow(ctx, last, known.Size)
		if err != nil || again.root == known.Root {
			return known.Size, err
		}
	}
	accepted, err := l.closeUnlessAccepted(ctx, known)
	if err != nil || !accepted || head <= known.Size {
		return 0, err
	}
	return max(size, known.Size+1), nil
}

// closeUnlessAccepted closes a journal that a checkpoint was signed of and that has not
// come from there, unless the operator has accepted that.
func (l *Log) closeUnlessAccepted(ctx context.Context, signed SignedCheckpoint) (accepted bool, err error) {
	lost, err := l.config.Store.HaltIfLost(
		ctx, signed.Institution, escrow.Head{Sequence: signed.Size, At: signed.At})
	if err != nil || lost {
		return false, err
	}
	accepted, err = l.config.Store.IsLossAccepted(ctx, signed.Institution, signed.Size)
	if err == nil && !accepted {
		err = fmt.Errorf("the tree of the first %d entries has another root than was signed", signed.Size)
	}
	return accepted, err
}

// grownTree is a checkpoint to sign, with the root of its tree and the tiles that it has
// changed.
type grownTree struct {
	store.Checkpoint

	root  translog.Hash
	tiles []translog.Tile
	// lastAt is the time of the last entry.
	lastAt time.Time
}

// grow returns the tree of a journal's first entries up to a size, built on that of the last
// checkpoint.
func (l *Log) grow(ctx context.Context, last store.Checkpoint, size int64) (*grownTree, error) {
	next := &grownTree{Checkpoint: store.Checkpoint{
		Institution: last.Institution,
		Size:        size,
		Balances:    last.Balances.Clone(),
	}}
	leaves, lastAt, err := l.readLeaves(ctx, last.Institution, last.Size, size, &next.Balances)
	if err != nil {
		return nil, err
	}
	next.lastAt = lastAt
	next.root, next.tiles, err = l.tree(ctx, last.Institution, last.Size).Append(leaves)

	// The clocks of servers differ, but no checkpoint may be older than its entries.
	if next.At = l.now(); next.At.Before(lastAt) {
		next.At = lastAt
	}
	return next, err
}

// sign signs a checkpoint and stores it, with the keys: a database that has gone back may
// have lost them. What no standby has confirmed is not signed: a primary that was cut off shows
// it, and another tree of the same size may grow elsewhere.
func (l *Log) sign(ctx context.Context, next *grownTree, keys *signers) (err error) {
	last := escrow.Head{Sequence: next.Size, At: next.lastAt}
	if err := l.config.Store.Confirm(ctx, next.Institution, last); err != nil {
		return err
	}
	noted := SignedCheckpoint{Institution: next.Institution, Size: next.Size, Root: next.root, At: next.At}
	if err := l.signed.Note(noted); err != nil {
		return err
	}

	next.Note, err = translog.Checkpoint{
		Origin: translog.Origin(l.config.Origin, next.Institution),
		Size:   next.Size,
		Root:   next.root,
		At:     next.At,
	}.Sign(keys.all...)
	if err != nil {
		return err
	}

	if err := l.config.Store.AddCheckpoint(ctx, next.Checkpoint, next.tiles, keys.rows); err != nil {
		return err
	}
	l.metrics.checkpoints.Inc()
	return nil
}

// compareSigned compares, once after the start, what was signed with the journals.
func (l *Log) compareSigned(ctx context.Context) error {
	if l.compared {
		return nil
	}

	var errs []error
	for _, signed := range l.signed.All() {
		if err := l.compare(ctx, signed); err != nil {
			errs = append(errs, fmt.Errorf("journal of %s: %w", signed.Institution, err))
		}
	}
	l.compared = len(errs) == 0
	return errors.Join(errs...)
}

// compare compares a checkpoint that was signed with its journal.
func (l *Log) compare(ctx context.Context, signed SignedCheckpoint) error {
	last, _, err := l.config.Store.LastCheckpoint(ctx, signed.Institution, math.MaxInt64)
	if err != nil {
		return err
	}
	if last.Size >= signed.Size {
		root, err := l.tree(ctx, signed.Institution, last.Size).Root(signed.Size)
		if err != nil || root == signed.Root {
			return err
		}
		_, err = l.closeUnlessAccepted(ctx, signed)
		return err
	}

	// One with as many entries is compared when it is signed.
	head, _, err := l.config.Store.Head(ctx, signed.Institution)
	if err == nil && head.Sequence < signed.Size {
		_, err = l.config.Store.HaltIfLost(
			ctx, signed.Institution, escrow.Head{Sequence: signed.Size, At: signed.At})
	}
	return err
}

// The bounds of noteOthers: how far back the first look goes, and how much the clocks of
// servers may differ.
const (
	firstLook       = time.Hour
	clockDifference = time.Minute
	othersAtOnce    = 1000
)

// noteOthers remembers the checkpoints that other servers have signed: any of them may be
// the next to sign.
func (l *Log) noteOthers(ctx context.Context) error {
	if l.config.Store.Exclusive() {
		return nil
	}
	if l.seen.IsZero() {
		l.seen = l.now().Add(-firstLook)
	}

	for after := l.seen.Add(-clockDifference); ; {
		checkpoints, err := l.config.Store.CheckpointsSince(ctx, after, othersAtOnce)
		if err != nil {
			return err
		}
		from := after
		for _, stored := range checkpoints {
			after = stored.At
			if stored.Size <= l.signed.Last(stored.Institution).Size {
				continue
			}
			checkpoint, err := translog.Unverified(stored.Note)
			if err != nil {
				return fmt.Errorf("checkpoint of %s: %w", stored.Institution, err)
			}
			err = l.signed.Note(SignedCheckpoint{
				Institution: stored.Institution, Size: stored.Size, Root: checkpoint.Root, At: stored.At,
			})
			if err != nil {
				return err
			}
		}

		if len(checkpoints) < othersAtOnce || after.Equal(from) {
			break
		}
	}
	l.seen = l.now()
	return nil
}
