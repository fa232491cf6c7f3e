package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Tail is the end of a journal that no signature covers: whoever can write to where the
// journal is kept could have made it up.
type Tail struct {
	Institution escrow.InstitutionID
	// Signed is how many entries the last checkpoint covers, 0 where there is none, Last
	// the sequence of the last entry.
	Signed, Last int64
}

// String describes the tail in a line.
func (t Tail) String() string {
	if t.Signed == 0 {
		return fmt.Sprintf("%s: entries 1 to %d: the journal has no checkpoint of a trusted key", t.Institution, t.Last)
	}
	return fmt.Sprintf("%s: entries %d to %d: they are newer than the last checkpoint",
		t.Institution, t.Signed+1, t.Last)
}

// tail is a Tail with what says whether it may be there.
type tail struct {
	Tail

	// from is the time of its first entry.
	from time.Time
}

// signedWithin is how long a server may take to sign an entry, unless Config.SignedWithin
// says otherwise. CHECKPOINT_INTERVAL is a few seconds by default.
const signedWithin = time.Hour

// The errors of Report.Err, apart from differences.
var (
	// ErrNothing means that there was no entry: an empty answer says nothing of a journal.
	ErrNothing = errors.New("there is nothing to verify: no journal has an entry")
	// ErrNothingSigned means that no entry of any journal is covered by a signature of a
	// trusted key.
	ErrNothingSigned = errors.New("no trusted key has signed any of it, so nothing of it is verified")
	// ErrUnsignedTail means that all is as it should be but for entries that are newer than
	// the last checkpoint, more than may be.
	ErrUnsignedTail = errors.New("the newest entries have no signature yet, so they are not verified")
)

// DifferenceError says that a verification found differences.
type DifferenceError struct{ Count int64 }

func (e *DifferenceError) Error() string {
	if e.Count == 1 {
		return "there is a difference"
	}
	return fmt.Sprintf("there are %d differences", e.Count)
}

// Err is the verdict: nil if all is as it should be and signed as far as the configuration
// asks for, else a *DifferenceError, ErrNothing, ErrNothingSigned or ErrUnsignedTail, the
// first of these that applies.
func (r Report) Err() error {
	switch {
	case r.DifferenceCount > 0:
		return &DifferenceError{r.DifferenceCount}
	case r.Entries == 0:
		return ErrNothing
	case r.Unsigned == r.Entries:
		return ErrNothingSigned
	case r.TailCount > 0:
		return ErrUnsignedTail
	}
	return nil
}

// noteCoverage notes how much of a journal is signed, once all of it was read.
func (v *verification) noteCoverage(ctx context.Context, c *chain) error {
	last := c.roots.Size()
	t := tail{Tail: Tail{Institution: c.of, Signed: c.signed, Last: last}}
	if c.signed < last {
		entries, err := v.storedEntries(ctx, c.of, c.signed+1, c.signed+1, nil)
		if err != nil {
			return err
		}
		for _, stored := range entries {
			if entry, err := escrow.ParseEntry(stored.Body, nil); err == nil {
				t.from = entry.At
			}
		}
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Entries += last
	v.report.Unsigned += last - c.signed
	v.newest = later(v.newest, c.head.At)
	if c.signed < last {
		v.tails = append(v.tails, t)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// judgeTails reports the tails that may not be there. A server that is asked without a key
// that is trusted, or a database, may have what came within the time in which it signs. Its
// end is the newest entry or checkpoint of all journals, not the present: a server that was
// stopped, and a backup, keep such a tail.
func (v *verification) judgeTails(served bool) {
	slices.SortFunc(v.tails, func(a, b tail) int { return a.Institution.Compare(b.Institution) })
	for _, t := range v.tails {
		if t.Last-t.Signed <= v.config.AllowUnsigned {
			continue
		}
		within := cmp.Or(v.config.SignedWithin, signedWithin)
		if served && v.report.KeysBrought && !t.from.IsZero() && v.newest.Sub(t.from) <= within {
			continue
		}

		v.report.TailCount++
		if len(v.report.Tails) < MaxDifferences {
			v.report.Tails = append(v.report.Tails, t.Tail)
		}
	}
}
