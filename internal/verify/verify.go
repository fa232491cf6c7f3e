// Package verify finds out whether journals are those that were signed, and whether the
// state beside them is what they make of it. It trusts nothing that is stored: it makes
// every hash, sum and row anew from the entries' bytes, and compares.
//
// The memory that it needs does not grow with a journal: each of several workers reads at most
// escrow.MaxPageBytes of entries at once, or the histories of store.MaxHistories rows, and a row
// is made anew from its own entries alone. It reads
// while the server writes: what has changed meanwhile is no difference.
package verify

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// Config says how to verify. Its zero value will do.
type Config struct {
	// Keys are the public keys that are trusted, as name+hash+base64. Without any, those
	// that come with the journals are, and Report.KeysBrought says so.
	Keys []string
	// Kept are checkpoints that were kept elsewhere, as signed notes: each must be one of
	// a journal as it is now.
	Kept [][]byte
	// AllowUnsigned is how many entries a journal may have that are newer than its last
	// checkpoint. Beyond these, what no trusted key has signed is in Report.Tails: in a
	// bundle and with Keys all of it; elsewhere what is older than SignedWithin.
	AllowUnsigned int64
	// SignedWithin is how long a server may take to sign an entry; 0 is an hour.
	SignedWithin time.Duration
	// Seen are the last checkpoints that an earlier verification of the same database has
	// found, Report.Seen: those who delete checkpoints, or write history anew and sign it
	// again, contradict them. One whose loss the operator has accepted is forgotten. Report.Seen
	// is nil where this is.
	Seen Checkpoints
	// Signed are the last checkpoints that a server remembers to have signed, of any number of
	// journals: each must be one of its journal as it is now, unless the operator has accepted
	// its loss. Of a bundle and at a server, those of journals that are not shown do not count.
	Signed Checkpoints
	// AllowForeignSchema leaves out the comparison of a database's schema with what the
	// migrations make.
	AllowForeignSchema bool
	// Workers is how many pages are worked on at once; 0 is one for each processor.
	Workers int
	// Gentle lets each worker pause for as long as it worked, for whoever else needs the
	// machine.
	Gentle bool
	// Progress, unless it is nil, is told how many entries are done of how many. It is
	// called often, and by several goroutines.
	Progress func(done, total int64)
}

// Checkpoints are the last ones that were found of journals.
type Checkpoints map[escrow.InstitutionID]translog.Checkpoint

// MaxDifferences bounds the differences that a report lists; it counts those beyond.
const MaxDifferences = 100

// Report is what a verification found.
type Report struct {
	// Institutions, Entries, Checkpoints and Rows count what was looked at; rows are
	// those of the tables of state.
	Institutions, Entries, Checkpoints, Rows int64
	// Erased counts the entries whose private values were erased, Redacted those of which some
	// were left out of a bundle.
	Erased, Redacted int64
	// Unsigned counts the entries that no checkpoint of a trusted key covers.
	Unsigned int64
	// Tails are the first MaxDifferences of TailCount ends of journals that are not signed
	// and should be.
	Tails     []Tail
	TailCount int64
	// Seen are the last checkpoints that journals match, or those of Config.Seen where
	// they do not.
	Seen Checkpoints
	// Keys are the public keys that signatures were checked with; KeysBrought says that
	// they came with the journals that they verify.
	Keys        []string
	KeysBrought bool
	// Differences are the first MaxDifferences of DifferenceCount, those of a journal's entries in
	// their order. What follows on entries that are not those that were signed is left out: it
	// tells of the first difference once more.
	Differences     []Difference
	DifferenceCount int64
}

// Difference is something that is other than the journal says.
type Difference struct {
	Institution escrow.InstitutionID
	// OfDatabase says that it concerns the whole database, and no institution.
	OfDatabase bool
	// What is an entry, a checkpoint, a row or a column.
	What string
	// There is what was found, Expected what should be there.
	There, Expected string
	// FirstEntry and LastEntry are the sequences of the entries of which one differs, the same
	// where it is known which; 0 where it concerns none, or all.
	FirstEntry, LastEntry int64
}

// String describes the difference in a line.
func (d Difference) String() string {
	of := d.Institution.String()
	if d.OfDatabase {
		of = "the database"
	}
	line := fmt.Sprintf("%s: %s: there is %s, and should be %s", of, d.What, d.There, d.Expected)
	return visible.Line(line)
}

// isBehind reports whether it concerns later entries of the same journal.
func (d Difference) isBehind(other Difference) bool {
	return d.Institution == other.Institution && d.FirstEntry > other.FirstEntry
}

// nothing stands for what is missing, and for what should not be there.
const nothing = "nothing"

// journal is where entries and checkpoints are read from.
type journal interface {
	// StoredEntries returns the entries from one sequence to another, both included.
	StoredEntries(ctx context.Context, of escrow.InstitutionID, from, to int64) ([]store.StoredEntry, error)
	// EntryBytes returns how many bytes the bodies of these have together.
	EntryBytes(ctx context.Context, of escrow.InstitutionID, from, to int64) (int64, error)
	// EntryBody returns the body of an entry, whatever is beside it.
	EntryBody(ctx context.Context, of escrow.InstitutionID, sequence int64) (body []byte, found bool, err error)
	// NextNote returns the size and the note of the first checkpoint above a size, whatever
	// is beside them.
	NextNote(ctx context.Context, of escrow.InstitutionID, after int64) (c store.Checkpoint, found bool, err error)
	// NextSequence returns the sequence of the first entry from one on.
	NextSequence(ctx context.Context, of escrow.InstitutionID, from int64) (sequence int64, found bool, err error)
	// Histories returns all entries of at most store.MaxHistories subjects, those of
	// each in order.
	Histories(ctx context.Context, of escrow.InstitutionID, subjects []string) ([]store.StoredEntry, error)
	// Checkpoints returns a page of checkpoints, the smallest first; a cursor is a size.
	Checkpoints(
		ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest,
	) (escrow.Page[store.Checkpoint], error)
}

// readKeys reads the public keys that come with journals.
type readKeys func(context.Context) ([]string, error)

// verification is one that is under way.
type verification struct {
	config  Config
	journal journal
	// secret is the key of multisets.
	secret   [sha256.Size]byte
	readKeys readKeys
	trusted  translog.Verifiers
	// noKeys are keys that came with the journals and are none.
	noKeys []string
	// whole says that all journals are read, so that one that is not there is missing.
	whole bool
	// kept are the checkpoints that were kept elsewhere of journals not yet read.
	kept map[escrow.InstitutionID][]keptCheckpoint

	// redacted are the private members whose values were left out of the bundle.
	redacted []string

	// tails are the journals' ends that are not signed, newest is the time of the newest
	// entry or checkpoint of all.
	tails  []tail
	newest time.Time

	total int64
	done  atomic.Int64

	mu     sync.Mutex
	report Report
}

// newVerification prepares a verification.
func newVerification(ctx context.Context, config Config, from journal, keys readKeys) (*verification, error) {
	if config.Workers == 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verification{
		config:   config,
		journal:  from,
		readKeys: keys,
		report:   Report{Keys: config.Keys, KeysBrought: len(config.Keys) == 0},
	}
	_, _ = rand.Read(v.secret[:]) // It never fails.

	var err error
	if v.trusted, err = translog.NewVerifiers(config.Keys...); err != nil {
		return nil, err
	}
	if err := v.renewKeys(ctx); err != nil {
		return nil, err
	}
	if v.kept, err = openKept(config.Kept, v.trusted); err != nil {
		return nil, err
	}
	v.addRemembered()
	return v, nil
}

// renewKeys reads the keys that come with the journals anew, if they are those that are
// trusted. A key is stored before what it signs, so the keys of a checkpoint are known
// if they are read after it.
func (v *verification) renewKeys(ctx context.Context) (err error) {
	if !v.report.KeysBrought {
		return nil
	}
	brought, err := v.readKeys(ctx)
	if err != nil {
		return err
	}

	v.report.Keys = nil
	for _, key := range brought {
		if _, err := translog.NewVerifiers(key); err == nil {
			v.report.Keys = append(v.report.Keys, key)
		} else if !slices.Contains(v.noKeys, key) {
			v.noKeys = append(v.noKeys, key)
			v.differ(escrow.InstitutionID{}, "a key that signs checkpoints", excerpt(key), "one as name+hash+base64")
		}
	}
	v.trusted, err = translog.NewVerifiers(v.report.Keys...)
	return err
}

// differAt notes a difference of an entry.
func (v *verification) differAt(of escrow.InstitutionID, sequence int64, there, expected string) {
	v.differIn(of, sequence, sequence, there, expected)
}

// differIn notes a difference of entries from one to another.
func (v *verification) differIn(of escrow.InstitutionID, first, last int64, there, expected string) {
	v.note(Difference{
		Institution: of,
		What:        rangeName(first, last),
		There:       there,
		Expected:    expected,
		FirstEntry:  first,
		LastEntry:   last,
	})
}

// differ notes a difference.
func (v *verification) differ(of escrow.InstitutionID, what, there, expected string) {
	v.note(Difference{
		Institution: of,
		What:        what,
		There:       there,
		Expected:    expected,
	})
}

func (v *verification) note(d Difference) {
	v.mu.Lock()
	defer v.mu.Unlock()

	v.report.DifferenceCount++
	all := v.report.Differences
	place := len(all)
	// Pages are read by several workers, so a later entry may be looked at before an earlier one.
	for d.FirstEntry > 0 && place > 0 && all[place-1].isBehind(d) {
		place--
	}
	if place < MaxDifferences {
		all = slices.Insert(all, place, d)
		v.report.Differences = all[:min(len(all), MaxDifferences)]
	}
}

// forgetBehind takes back what was noted of the entries of a journal behind a sequence.
func (v *verification) forgetBehind(of escrow.InstitutionID, sequence int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	noted := int64(len(v.report.Differences))
	v.report.Differences = slices.DeleteFunc(v.report.Differences, func(d Difference) bool {
		return d.Institution == of && d.FirstEntry > sequence
	})
	v.report.DifferenceCount -= noted - int64(len(v.report.Differences))
}

// proceed notes that entries were worked on.
func (v *verification) proceed(entries int) {
	done := v.done.Add(int64(entries))
	if v.config.Progress != nil {
		v.config.Progress(done, max(done, v.total))
	}
}
