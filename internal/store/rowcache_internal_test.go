package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var bank = escrow.InstitutionID{15: 1}

func headAt(sequence int64) escrow.Head {
	return escrow.Head{Sequence: sequence, At: time.UnixMicro(sequence)}
}

// commit has the cache keep a group that moved the head, and wrote a row if it is not
// empty.
func (c *rowCache) commit(from, to int64, row string) {
	books := escrow.NewBooks(bank, headAt(from), true)
	books.Head = headAt(to)
	if row != "" {
		books.Positions.Put(position, escrow.Position{ID: position, HolderReference: row})
	}
	c.keepGroup(groupBooks{bank: books}, groupNeeds{bank: {}})
}

var position = escrow.PositionID{15: 2}

func (c *rowCache) wantRow(t *testing.T, what string, at snapshot, want string) {
	t.Helper()
	row, _ := c.recall(at, position)
	got, _ := row.(escrow.Position)
	if got.HolderReference != want {
		t.Errorf("%s: the row that is remembered is %q, want %q", what, got.HolderReference, want)
	}
}

func held(text string) escrow.Position {
	return escrow.Position{ID: position, HolderReference: text}
}

func TestARowReadBeforeAWriteIsNotRemembered(t *testing.T) {
	c := newRowCache()
	before := c.observe(bank, headAt(1))
	c.commit(1, 2, "new")
	c.remember(before, position, held("old"))
	c.wantRow(t, "after the write", c.observe(bank, headAt(2)), "new")
}

func TestWhatIsRememberedEndsWhenAnotherServerWrites(t *testing.T) {
	c := newRowCache()
	before := c.observe(bank, headAt(1))
	c.remember(before, position, held("old"))
	c.wantRow(t, "at the same head", c.observe(bank, headAt(1)), "old")
	after := c.observe(bank, headAt(2))
	c.wantRow(t, "at a later head", after, "")
	c.remember(before, position, held("old"))
	c.wantRow(t, "of a reader who came before", after, "")
}

func TestAHeadThatIsReadLateIsNoStepBack(t *testing.T) {
	c := newRowCache()
	c.observe(bank, headAt(1))
	c.commit(1, 2, "new")
	c.wantRow(t, "for a reader of the head before", c.observe(bank, headAt(1)), "new")
}

func TestAHeadThatThisServerIsMovingIsKept(t *testing.T) {
	c := newRowCache()
	c.observe(bank, headAt(1))
	c.beginWriting(groupNeeds{bank: {}})
	if at := c.observe(bank, headAt(2)); at.generation != 0 {
		t.Errorf("a reader is given %v, of which this server does not know yet", at)
	}
	c.commit(1, 2, "new")
	c.endWriting(groupNeeds{bank: {}})
	c.wantRow(t, "after the commit", c.observe(bank, headAt(2)), "new")
	if len(c.writing) != 0 {
		t.Errorf("groups are still under way: %v", c.writing)
	}
}

func TestAHeadReadBeforeAnEvictionIsNotObserved(t *testing.T) {
	c := newRowCache()
	_, ok, evictions := c.known(bank)
	if ok {
		t.Fatal("an empty cache knows a head")
	}
	// Another group comes and goes, and its outcome is not known.
	c.commit(1, 2, "")
	c.forget(bank)
	if at := c.observeAlone(bank, headAt(1), evictions); at.generation != 0 {
		t.Errorf("a head is observed that may have been moved since: %v", at)
	}
	if _, ok, _ := c.known(bank); ok {
		t.Error("the head stays")
	}
}

// Readers who come while a query is under way share the next one, which begins after
// all of them have come.
func TestReadersShareAQuery(t *testing.T) {
	begun, release := make(chan []escrow.InstitutionID, 2), make(chan struct{})
	failure := errors.New("no database")
	var r sharedReader[escrow.InstitutionID, escrow.Head]
	r.query = func(_ context.Context, ids []escrow.InstitutionID) (map[escrow.InstitutionID]escrow.Head, error) {
		begun <- ids
		<-release
		if len(ids) == 2 {
			return nil, failure
		}
		return map[escrow.InstitutionID]escrow.Head{ids[0]: headAt(1)}, nil
	}
	other := escrow.InstitutionID{15: 3}
	first := r.join(bank)
	<-begun
	second, third, fourth := r.join(bank), r.join(other), r.join(bank)
	if second == first || second != third || third != fourth {
		t.Error("readers who came during a query do not share the next")
	}
	release <- struct{}{}
	<-first.done
	if ids := <-begun; len(ids) != 2 {
		t.Errorf("the second query is for %v, want each institution once", ids)
	}
	release <- struct{}{}
	<-second.done
	if !errors.Is(second.err, failure) || first.rows[bank] != headAt(1) {
		t.Errorf("the queries say %v and %v", first.rows, second.err)
	}
}

func TestAReaderWhoGoesDoesNotWait(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	r := sharedReader[escrow.InstitutionID, escrow.Head]{query: func(context.Context, []escrow.InstitutionID) (map[escrow.InstitutionID]escrow.Head, error) {
		<-release
		return nil, errors.New("nobody waits")
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.read(ctx, bank); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a reader who has gone gets %v", err)
	}
}
